"""Local services: the same real parts as on AWS, started from installed packages."""
