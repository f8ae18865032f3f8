"""Commands of `curate.cli`, by group. Each parses, calls the package and prints."""
