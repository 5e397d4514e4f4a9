"""I/O out: channels by which people hear of alarms, and who is told what."""
