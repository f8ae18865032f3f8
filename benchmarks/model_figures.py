"""Write curate/restore/model_figures.json, from which `curate models` lists the models at once.

    python -m benchmarks.model_figures

Run it whenever the code in curate/restore/models changes; a test says so.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from curate.restore import describe_model
from curate.restore.model_figures import FILE, HEIGHT, WIDTH, source_fingerprint
from curate.restore.models import MODELS
from curate.storage import atomic


def main() -> None:
    """Count every model, and write the file."""
    models = {name: asdict(describe_model(name, HEIGHT, WIDTH)) for name in MODELS}
    content = {"fingerprint": source_fingerprint(), "models": models}
    atomic.write(FILE, f"{json.dumps(content, indent=1)}\n".encode())


if __name__ == "__main__":
    main()
