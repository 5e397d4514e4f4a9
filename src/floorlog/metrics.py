"""Measures: counted in memory, written to stdout once a minute in CloudWatch's embedded format."""

NAMESPACE = "Floorlog"
COUNTS = ("received", "stored", "rejected", "duplicate", "conflict")
