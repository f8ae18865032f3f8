"""Download: URLs or local files -> bytes in a tar, exactly as served, and a reason for each that gave none."""
