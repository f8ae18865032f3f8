"""What measures speed and quality, runnable by anyone from the root of the repository."""
