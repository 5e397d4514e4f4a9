"""What people do to a record, each an appended event."""
