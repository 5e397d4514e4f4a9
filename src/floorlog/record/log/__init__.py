"""The log over all entries: sequenced, signed, anchored outside, recovered."""
