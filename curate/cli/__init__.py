"""Commands of `curate.cli.app`, by group. Each parses, calls the package and prints."""
