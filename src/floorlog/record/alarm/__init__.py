"""Alarms over the record: their budget, and the notices that go out."""
