"""Commands for a dataset that lives on after its run."""

from __future__ import annotations

__all__: list[str] = []
