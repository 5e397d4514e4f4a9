"""Work that takes longer than a request: jobs, and tables taken in."""
