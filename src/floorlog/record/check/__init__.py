"""The whole record computed again and held against its anchors."""
