"""What would come of it: back-tests, dry runs, and tables taken in."""
