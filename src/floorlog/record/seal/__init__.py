"""Open rows into chunks, and what a chunk is."""
