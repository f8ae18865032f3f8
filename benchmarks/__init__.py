"""Measurements of speed and quality, run from the root of the repository."""
