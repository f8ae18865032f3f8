"""Image files: their format, what their header says, and their pixels."""
