"""Work on the record: what proves it, takes it out, keeps it small."""
