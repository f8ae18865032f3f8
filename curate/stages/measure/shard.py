"""Measure stage: the measures of every image of a shard, or the reason why it has none."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.engine.error_log import write_error_log
from curate.errors import ImageError
from curate.images.decoder_process import run_in_decoder
from curate.manifest.schema import MANIFEST
from curate.recipe import FACTS, LOSS_FACTS, Measure
from curate.stages.measure.image import measure_image
from curate.stages.names import StageName
from curate.storage.atomic import read_images

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["MeasureShard"]

_COLUMNS = (
    "coded_nbytes", "format", "mode", "bit_depth", "icc", "orientation", "animated", "width",
    "height", "pixels", "bpp", "jpeg_quality", "chroma_subsampling", "hf_ratio", "hf_ratio_032",
    *FACTS, "pixel_sha256", "phash",
)  # fmt: skip


@dataclass(frozen=True)
class MeasureShard:
    """Shard function of the measure stage."""

    config: Measure

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns that it adds; those of further cut-offs come last."""
        types = {column.name: column.type for column in MANIFEST}
        further = [(self.config.column(cutoff), pa.float64()) for cutoff in self.config.cutoffs]
        return pa.schema([*((name, types[name]) for name in _COLUMNS), *further])

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """Measure each image; rows have tar, offset and nbytes; see curate.engine.ShardFunction."""
        measured: list[dict[str, Any]] = []
        errors: dict[str, ImageError] = {}
        for id_, data in zip(rows["id"].to_pylist(), read_images(shard.open, rows), strict=True):
            row = {"id": id_, "reason": None}
            try:
                row |= self._measure(data)
            except ImageError as error:
                errors[id_], row["reason"] = error, error.reason.value
            measured.append(row)
            shard.advance(1, row["reason"])
        write_error_log(shard, StageName.MEASURE, errors)
        schema = pa.schema([("id", pa.string()), ("reason", pa.string()), *self.schema])
        return pa.Table.from_pylist(measured, schema)

    def _measure(self, data: bytes) -> dict[str, Any]:
        config = self.config
        facts = {*config.facts, *LOSS_FACTS}
        measures = run_in_decoder(measure_image, data, config.cutoffs, config.max_pixels, facts)
        further = zip(map(config.column, config.cutoffs), measures.cutoffs, strict=True)
        return asdict(measures) | dict(further) | dict(measures.facts)
