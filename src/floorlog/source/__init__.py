"""Where readings come from: streams and files."""
