"""The label stage: images of a shard -> broad class, category, how sure, and the embedding."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.engine.cache import read_kept, write_kept
from curate.errors import ImageError, Reason, RunError
from curate.recipe import Label
from curate.stages.label.taxonomy import load_taxonomy
from curate.stages.label.weights import model_name, preparation
from curate.storage.atomic import read_images

if TYPE_CHECKING:
    from curate.engine.stage import Shard
    from curate.stages.label.clip import LabelResult

__all__ = ["SCHEMA", "LabelShard", "read_embeddings"]

SCHEMA = pa.schema(
    [
        ("broad", pa.string()),
        ("category", pa.string()),
        ("label_score", pa.float32()),
        ("label_margin", pa.float32()),
        ("label_model", pa.string()),
    ]
)

KEY = b"labeller"
"""Metadata of a file of embeddings: `Labeller.key` of what made them."""


@dataclass(frozen=True)
class LabelShard:
    """The shard function of the label stage.

    Beside its columns it keeps the images' embeddings in `embeddings/<shard>.parquet`, and takes from there what the
    same model made of the same bytes before: so other prompts cost no second pass through the images.
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
            "preparation": preparation(self.config),
            "taxonomy": load_taxonomy(self.config.taxonomy).fingerprint,
            "others_margin": self.config.others_margin,
        }

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """Label every row that can be decoded; the others get reason `decode_failed`.

        Raises:
            LabelError: if the labeller can't be loaded.
        """
        from curate.stages.label.clip import load_labeller  # torch: only where labels are made

        labeller = load_labeller(self.config)
        digests = rows["sha256"].to_pylist()
        made_by = {b"label_model": labeller.name.encode(), KEY: labeller.key.encode()}
        known = _known(read_kept(shard, _path(shard), made_by))
        missing = [index for index, digest in enumerate(digests) if digest not in known]
        shard.advance(len(digests) - len(missing))
        reasons: list[Reason | None] = [None] * len(digests)
        images = map(io.BytesIO, read_images(shard.open, rows.take(pa.array(missing, pa.int64()))))
        for index, found in zip(missing, labeller.embed(images), strict=True):
            if isinstance(found, ImageError):
                reasons[index] = found.reason
            else:
                known[digests[index]] = found
            shard.advance(1, reasons[index])
        done = [digest for digest, reason in zip(digests, reasons, strict=True) if reason is None]
        if self.config.keep_embeddings and (missing or known.keys() != set(done)):
            embeddings = _embeddings({digest: known[digest] for digest in done}, labeller.dim)
            write_kept(shard, _path(shard), embeddings, made_by)
        vectors = [known[digest] for digest in done]
        results = iter(labeller.classify(np.array(vectors, np.float32).reshape(-1, labeller.dim)))
        return _table(
            rows["id"], reasons, [next(results) if reason is None else None for reason in reasons]
        )


def read_embeddings(shard: Shard, name: str, rows: pa.Table) -> NDArray[np.float32]:
    """The embeddings that the label stage kept of a shard, one for each row; zeros for rows without a label.

    Of no length where no row has a label.

    Args:
        shard: opens the run's files.
        name: of the shard of images.
        rows: with columns sha256, label_model and reason.

    Raises:
        RunError: if it kept none, or they are another model's.
    """
    path = f"embeddings/{name}.parquet"
    labelled = pc.is_valid(rows["label_model"])
    if not pc.any(labelled).as_py():
        return np.zeros((len(rows), 0), np.float32)
    try:
        with shard.open(path) as file:
            table = pq.read_table(file, page_checksum_verification=True)
        vectors_ND = (
            table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
        )
        place = pc.index_in(rows["sha256"], table["sha256"].combine_chunks())
        models = set(rows["label_model"].drop_null().to_pylist())
        made_by = (table.schema.metadata or {})[b"label_model"].decode()
        if pc.any(pc.and_(labelled, pc.is_null(place))).as_py() or models - {made_by}:
            raise ValueError
    except (RunError, OSError, ValueError, KeyError) as error:
        raise RunError(
            f"select.dedup.semantic wants the embeddings of {path}, which aren't there whole: have labels made anew, "
            "with  --from label"
        ) from error
    found_ND = np.zeros((len(rows), vectors_ND.shape[1]), np.float32)
    there = np.flatnonzero(labelled.to_numpy())
    found_ND[there] = vectors_ND[pc.fill_null(place, 0).to_numpy()[there]]
    return found_ND


def _table(
    ids: pa.ChunkedArray, reasons: list[Reason | None], results: list[LabelResult | None]
) -> pa.Table:
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


def _path(shard: Shard) -> str:
    return f"embeddings/{shard.name}.parquet"


def _known(kept: pa.Table | None) -> dict[str, NDArray[np.float32]]:
    """SHA-256 of an image -> its embedding."""
    if not kept:
        return {}
    vectors = kept["embedding"].combine_chunks().flatten().to_numpy().reshape(len(kept), -1)
    return dict(zip(kept["sha256"].to_pylist(), vectors, strict=True))


def _embeddings(known: dict[str, NDArray[np.float32]], dim: int) -> pa.Table:
    flat = np.concatenate([np.empty(0, np.float32), *known.values()])
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), dim)
    return pa.table({"sha256": pa.array(list(known), pa.string()), "embedding": vectors})
