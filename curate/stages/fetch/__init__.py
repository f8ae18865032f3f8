"""Fetch stage: URLs or local files -> their bytes in a tar, or a reason for each without any."""
