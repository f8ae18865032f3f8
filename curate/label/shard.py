"""The label stage: images of a shard -> broad class, category, how sure, and the embedding."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from curate.decode import decode_small
from curate.errors import ImageError, Reason
from curate.files import read_images
from curate.label.taxonomy import load_taxonomy
from curate.label.weights import model_name
from curate.recipe import Label

if TYPE_CHECKING:
    from curate.engine.stage import Shard
    from curate.label.clip import Labeller, LabelResult

__all__ = ["SCHEMA", "LabelShard"]

SCHEMA = pa.schema(
    [
        ("broad", pa.string()),
        ("category", pa.string()),
        ("label_score", pa.float32()),
        ("label_margin", pa.float32()),
        ("label_model", pa.string()),
    ]
)


@dataclass(frozen=True)
class LabelShard:
    """The shard function of the label stage.

    Beside its columns it writes `embeddings/<shard>.parquet`: id, and the L2-normalised image embedding as float16.
    """

    config: Label

    @property
    def settings(self) -> dict[str, Any]:
        """What labels depend on: the weights, the prompts and the arithmetic, not where files lie.

        Raises:
            LabelError: if the taxonomy or a local checkpoint can't be read.
        """
        return {
            "model": model_name(self.config),
            "taxonomy": load_taxonomy(self.config.taxonomy).fingerprint,
            "precision": self.config.precision,
        }

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """Label every row that can be decoded; the others get reason `decode_failed`.

        Raises:
            LabelError: if the labeller can't be loaded.
        """
        from curate.label.clip import load_labeller  # torch: only where labels are made

        labeller = load_labeller(self.config)
        reasons: list[Reason | None] = [None] * rows.num_rows

        def pictures() -> Iterator[Image.Image]:
            for index, data in enumerate(read_images(shard.open, rows)):
                try:
                    yield decode_small(io.BytesIO(data), labeller.side)
                except ImageError as error:
                    reasons[index] = error.reason
                shard.advance()

        labelled = list(labeller.label(pictures()))
        done = pa.array([reason is None for reason in reasons], pa.bool_())
        ids = rows["id"].filter(done)
        with shard.create(f"embeddings/{shard.name}.parquet") as sink:
            sink.write(_embeddings(ids, [embedding for _, embedding in labelled], labeller))
        results = iter(result for result, _ in labelled)
        return _table(rows["id"], reasons, [next(results) if reason is None else None for reason in reasons])


def _table(ids: pa.ChunkedArray, reasons: list[Reason | None], results: list[LabelResult | None]) -> pa.Table:
    columns = [
        [result and result.broad for result in results],
        [result and result.category for result in results],
        [result and result.score for result in results],
        [result and result.margin for result in results],
        [result and result.model for result in results],
    ]
    own = pa.table(columns, schema=SCHEMA)
    reason = pa.array([None if r is None else str(r) for r in reasons], pa.string())
    return own.add_column(0, "reason", reason).add_column(0, "id", ids)


def _embeddings(ids: pa.ChunkedArray, embeddings: list[NDArray[np.float16]], labeller: Labeller) -> bytes:
    """A Parquet file of ids and float16 vectors; its metadata names the model that made them."""
    flat = np.concatenate([np.empty(0, np.float16), *embeddings])
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float16()), labeller.dim)
    table = pa.table({"id": ids, "embedding": vectors}).replace_schema_metadata({"label_model": labeller.name})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
