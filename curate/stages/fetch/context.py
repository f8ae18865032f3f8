"""Context of a fetch: the arguments that every fetch engine takes besides the URLs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curate.recipe import Fetch
from curate.stages.fetch.early_filters import EarlyFilters
from curate.stages.fetch.open_requests import OpenRequests
from curate.stages.fetch.outcome import Outcome

__all__ = ["FetchContext", "FetchEngine"]


@dataclass(frozen=True)
class FetchContext:
    """Settings, folder, callbacks and filters of a fetch."""

    config: Fetch
    scratch: Path
    """Local folder for the bodies, one file each."""
    requests: OpenRequests = field(default_factory=OpenRequests)
    """Tracker of open requests and finished candidates."""
    filters: EarlyFilters = field(default_factory=EarlyFilters)
    """Filters that reject an image by its header."""
    limits_file: Path | None = None
    """File of the hosts' limits, to share them with others; one in `scratch` by default."""


FetchEngine = Callable[[Sequence[str], FetchContext], list[Outcome]]
"""Function that fetches every URL, of any text, and retries transient failures.

It returns one outcome for each URL, in order, and reports each as finished once. It raises RunError
if the scratch folder can't be written.
"""
