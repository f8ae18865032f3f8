"""Digests of a run folder, for comparison."""

import hashlib
from pathlib import Path


def digests(run: Path) -> dict[str, str]:
    """SHA-256 of every file that a run promises to be the same, whatever happened."""
    files = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    named = {str(path.relative_to(run)): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(named.items())
        if not name.startswith("log/")
    }
