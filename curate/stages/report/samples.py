"""Rows that the page shows as pictures, chosen in one pass and bounded in number.

Ids are hashes, so the rows of the smallest ids are a random sample, and the same one each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.recipe import Bound

__all__ = ["Samples"]

_PER_CELL = 6
_PER_REASON = 6
_PER_SIDE = 6
"""Kept and rejected images on each side of a bound."""
_CLUSTERS, _PER_CLUSTER = 16, 4
_PER_BENCHMARK = 6
_UNCERTAIN = 12

_KEY = "sample_key"
"""Column that samples are sorted by, besides the ledger's own."""


@dataclass
class Samples:
    """Samples of the rows seen so far, each a table or None."""

    bounds: Sequence[Bound] = ()
    """Bounds of which the rows on either side are sampled; those that aren't numbers have none."""
    cells: pa.Table | None = None
    """Kept images, or tiles, of each category and frequency bin."""
    reasons: pa.Table | None = None
    """Rejected images of each reason."""
    above: dict[Bound, pa.Table] = field(default_factory=dict)
    """Kept images nearest to each bound."""
    below: dict[Bound, pa.Table] = field(default_factory=dict)
    """Images nearest to each bound among those that break it."""
    clusters: pa.Table | None = None
    """Images of some clusters of duplicates, the best of each first."""
    contaminated: pa.Table | None = None
    """Images that show a part of a benchmark's, by `contaminated_by`."""
    uncertain: pa.Table | None = None
    """Kept images whose label is least certain."""

    def add(self, table: pa.Table) -> None:
        """Take a part of the ledger into account: its measured rows, as others may not decode."""
        table = table.filter(pc.and_(pc.is_valid(table["tar"]), pc.is_valid(table["hf_ratio"])))
        is_kept = pc.equal(table["status"], "kept")
        kept, rejected = table.filter(is_kept), table.filter(pc.invert(is_kept))
        self.cells = _smallest(self.cells, kept, ["category", "frequency_bin"], _PER_CELL)
        self.reasons = _smallest(self.reasons, rejected, ["reason"], _PER_REASON)
        self._add_borders(kept, rejected)
        self._add_clusters(table.filter(pc.is_valid(table["dup_cluster"])))
        found = rejected.filter(pc.equal(rejected["reason"], "contaminated"))
        benchmark = pc.list_element(pc.split_pattern(found["contaminated_by"], "/"), 0)
        self.contaminated = _smallest(
            self.contaminated, found.append_column(_KEY, benchmark), [_KEY], _PER_BENCHMARK
        )
        if "label_margin" in kept.column_names:
            sure = kept.filter(pc.is_valid(kept["label_margin"]))
            self.uncertain = _smallest(self.uncertain, sure, [], _UNCERTAIN, by="label_margin")

    def take_tiles(self, tiles: pa.Table) -> None:
        """Sample tiles of each category and frequency bin in place of their images."""
        self.cells = _smallest(None, tiles, ["category", "frequency_bin"], _PER_CELL)

    def _add_borders(self, kept: pa.Table, rejected: pa.Table) -> None:
        for bound in self.bounds:
            if bound.test == "in" or bound.column not in kept.column_names:
                continue
            broken = rejected.filter(bound.broken_rows(rejected[bound.column]))
            for samples, rows in ((self.above, kept), (self.below, broken)):
                rows = rows.filter(pc.is_valid(rows[bound.column]))
                away = pc.abs(pc.subtract(rows[bound.column].cast(pa.float64()), bound.value))
                rows = rows.append_column(_KEY, away)
                samples[bound] = _smallest(samples.get(bound), rows, [], _PER_SIDE, by=_KEY)

    def _add_clusters(self, shared: pa.Table) -> None:
        is_best = pc.equal(shared["id"], shared["dup_cluster"])
        rows = shared.append_column(_KEY, pc.invert(is_best).cast(pa.int8()))
        found = _smallest(self.clusters, rows, ["dup_cluster"], _PER_CLUSTER, by=_KEY)
        # the smallest ids of all are among the smallest of each part
        first = pc.unique(found["dup_cluster"]).slice(0, _CLUSTERS)
        self.clusters = found.filter(pc.is_in(found["dup_cluster"], first))


def _smallest(
    sample: pa.Table | None, rows: pa.Table, groups: Sequence[str], count: int, by: str = "id"
) -> pa.Table:
    """Return the rows of each group that come first by a column, then by their ids.

    Sorted by the groups; rows of no group are left out.
    """
    for name in groups:
        rows = rows.filter(pc.is_valid(rows[name]))
    if sample is not None:
        if not len(rows):
            return sample
        rows = pa.concat_tables([sample, rows], promote_options="default")
    keys = list(dict.fromkeys([*groups, by, "id"]))
    rows = rows.sort_by([(key, "ascending") for key in keys])
    if not groups or not len(rows):
        return rows.slice(0, count)
    # a row's rank is its distance from the first row of its group
    changes = np.zeros(len(rows), bool)
    for name in groups:
        values = rows[name].to_numpy()
        changes[1:] |= values[1:] != values[:-1]
    starts = np.concatenate([[0], np.flatnonzero(changes)])
    rank = np.arange(len(rows)) - starts[np.cumsum(changes)]
    return rows.filter(pa.array(rank < count))
