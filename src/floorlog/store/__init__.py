"""The truth in PostgreSQL: leases, batches, readings, and how they are read again."""
