"""The measure stage: every image of a shard -> its measures, or the reason why it has none."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.errors import ImageError
from curate.manifest.schema import MANIFEST
from curate.recipe import FACTS, Measure
from curate.stages.measure.image import measure_image
from curate.storage.atomic import read_images

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["MeasureShard"]

_COLUMNS = (
    "format", "mode", "bit_depth", "icc", "orientation", "animated", "width", "height", "pixels", "bpp", "jpeg_quality",
    "chroma_subsampling", "hf_ratio", "hf_ratio_032", *FACTS, "pixel_sha256", "phash",
)  # fmt: skip


@dataclass(frozen=True)
class MeasureShard:
    """The shard function of the measure stage."""

    config: Measure

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns that it adds, those of further cut-offs at the end."""
        types = {column.name: column.type for column in MANIFEST}
        further = [(self.config.column(cutoff), pa.float64()) for cutoff in self.config.cutoffs]
        return pa.schema([*((name, types[name]) for name in _COLUMNS), *further])

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """See curate.engine.ShardFunction; rows have tar, offset and nbytes."""
        measured = []
        for id_, data in zip(rows["id"].to_pylist(), read_images(shard.open, rows), strict=True):
            measured.append({"id": id_, "reason": None, **self._measure(data)})
            shard.advance(1, measured[-1]["reason"])
        return pa.Table.from_pylist(
            measured, schema=pa.schema([("id", pa.string()), ("reason", pa.string()), *self.schema])
        )

    def _measure(self, data: bytes) -> dict[str, Any]:
        try:
            measures = measure_image(
                data, self.config.cutoffs, self.config.max_pixels, self.config.facts
            )
        except ImageError as error:
            return {"reason": error.reason.value}
        further = {
            self.config.column(c): ratio
            for c, ratio in zip(self.config.cutoffs, measures.cutoffs, strict=True)
        }
        return asdict(measures) | further | dict(measures.facts)
