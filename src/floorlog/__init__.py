"""Floorlog turns a factory's sensor stream into a record."""

__version__ = "0.1.0"
