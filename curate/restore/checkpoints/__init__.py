"""Checkpoints: read, written, converted from authors' weights, and exported to other runtimes."""
