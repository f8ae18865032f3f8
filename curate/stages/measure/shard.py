"""Measure stage: the measures of every image of a shard, or the reason why it has none."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.engine.error_log import write_error_log
from curate.errors import ImageError
from curate.images.decoder_process import run_in_decoder
from curate.manifest.derived import derived_url
from curate.manifest.schema import MANIFEST, candidate_id
from curate.manifest.tiles import fragment
from curate.recipe import FACTS, LOSS_FACTS, TILE_MEASURES, Measure, Tiles
from curate.stages.measure.image import Measures, measure_image
from curate.stages.measure.tile_measures import TileGrid
from curate.stages.names import StageName, tiles_path
from curate.storage.atomic import read_images
from curate.storage.parquet import encode_table

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["MeasureShard"]

_COLUMNS = (
    "coded_nbytes", "format", "mode", "bit_depth", "icc", "orientation", "animated", "width",
    "height", "pixels", "bpp", "jpeg_quality", "chroma_subsampling", "hf_ratio", "hf_ratio_032",
    *FACTS, "pixel_sha256", "phash",
)  # fmt: skip


_TYPES = {column.name: column.type for column in MANIFEST}
_TILE_COLUMNS = (
    "id", "tile_of", "tile_x", "tile_y", "width", "height", *TILE_MEASURES, "pixel_sha256", "phash",
)  # fmt: skip


@dataclass(frozen=True)
class MeasureShard:
    """Shard function of the measure stage."""

    config: Measure
    tiles: Tiles | None = None
    """Which tiles to measure as well; `tiles/<shard>.parquet` holds them."""

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns that it adds; those of further cut-offs come last."""
        return pa.schema([*((name, _TYPES[name]) for name in _COLUMNS), *self._further])

    @cached_property
    def tile_schema(self) -> pa.Schema:
        """Columns of the file of tiles; those of further cut-offs come last."""
        return pa.schema([*((name, _TYPES[name]) for name in _TILE_COLUMNS), *self._further])

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that the results depend on."""
        of_tiles = {} if self.tiles is None else {"tiles": self.tiles.measuring}
        return self.config.essence() | of_tiles

    @property
    def _further(self) -> list[tuple[str, pa.DataType]]:
        return [(self.config.column(cutoff), pa.float64()) for cutoff in self.config.cutoffs]

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """Measure each image; rows have tar, offset and nbytes; see curate.engine.ShardFunction."""
        measured: list[dict[str, Any]] = []
        tiles = [self.tile_schema.empty_table()]
        errors: dict[str, ImageError] = {}
        for number, data in enumerate(read_images(shard.open, rows)):
            id_ = rows["id"][number].as_py()
            row = {"id": id_, "reason": None}
            try:
                measures = self._measure(data)
            except ImageError as error:
                errors[id_], row["reason"] = error, error.reason.value
            else:
                row |= self._row(measures)
                if measures.tiles:
                    url = rows["url"][number].as_py()
                    tiles.append(self._table_of_tiles(id_, url, measures))
            measured.append(row)
            shard.advance(1, row["reason"])
        write_error_log(shard, StageName.MEASURE, errors)
        if self.tiles is not None:
            with shard.create(tiles_path(shard.name)) as sink:
                sink.write(encode_table(pa.concat_tables(tiles)))
        schema = pa.schema([("id", pa.string()), ("reason", pa.string()), *self.schema])
        return pa.Table.from_pylist(measured, schema)

    def _measure(self, data: bytes) -> Measures:
        config, grid = self.config, None
        if self.tiles is not None:
            grid = TileGrid(self.tiles.size, self.tiles.grid, self.tiles.stride)
        facts = {*config.facts, *LOSS_FACTS}
        return run_in_decoder(measure_image, data, config.cutoffs, config.max_pixels, facts, grid)

    def _row(self, measures: Measures) -> dict[str, Any]:
        further = zip(map(self.config.column, self.config.cutoffs), measures.cutoffs, strict=True)
        return asdict(replace(measures, tiles={})) | dict(further) | dict(measures.facts)

    def _table_of_tiles(self, id_: str, url: str, measures: Measures) -> pa.Table:
        columns = dict(measures.tiles)
        cutoffs = zip(*columns.pop("cutoffs"), strict=True)
        further = zip(map(self.config.column, self.config.cutoffs), cutoffs, strict=True)
        sides = (columns["tile_x"], columns["tile_y"], columns["width"], columns["height"])
        ids = []
        for left, top, width, height in zip(*sides, strict=True):
            box = left, top, left + width, top + height
            ids.append(candidate_id(derived_url(url, fragment(box))))
        columns |= {"id": ids, "tile_of": [id_] * len(ids)}
        columns |= {name: list(ratios) for name, ratios in further}
        return pa.table(columns, self.tile_schema)
