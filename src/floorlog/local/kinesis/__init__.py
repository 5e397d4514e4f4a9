"""A Kinesis-compatible stream server: the service's answers, limits and errors, on loopback."""
