"""curate: restoration-grade image datasets from crawled URLs."""
