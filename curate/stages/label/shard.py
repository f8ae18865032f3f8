"""Label stage: broad class, category, scores and embedding of each image of a shard."""

from __future__ import annotations

import io
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.engine.cache import ImageCache, vector_type
from curate.engine.error_log import write_error_log
from curate.errors import RunError
from curate.recipe import Label
from curate.stages.label.heads import find_heads, heads_settings
from curate.stages.label.scores import load_pairs, pairs_settings, score_columns
from curate.stages.label.taxonomy import load_taxonomy
from curate.stages.label.weights import model_name, preparation
from curate.stages.names import StageName

if TYPE_CHECKING:
    from curate.engine.stage import Shard
    from curate.stages.label.clip import Labeller

__all__ = ["SCHEMA", "LabelShard", "read_embeddings"]

SCHEMA = pa.schema(
    {
        "broad": pa.string(),
        "category": pa.string(),
        "label_score": pa.float32(),
        "label_margin": pa.float32(),
        "label_model": pa.string(),
    }
)
"""Columns that the label stage always adds, in the order of LabelResult's fields."""


@dataclass(frozen=True)
class LabelShard:
    """Shard function of the label stage.

    It caches embeddings in `embeddings/<shard>.parquet`, so other prompts cost no second pass
    through the images.
    """

    config: Label

    @property
    def settings(self) -> dict[str, Any]:
        """Weights, prompts and arithmetic, on which labels depend; no path.

        Raises:
            LabelError: if the taxonomy, a local checkpoint, pairs of prompts or a head can't be
                read.
        """
        settings: dict[str, Any] = {
            "model": model_name(self.config),
            "preparation": preparation(self.config),
            "taxonomy": load_taxonomy(self.config.taxonomy).fingerprint,
            "others_margin": self.config.others_margin,
        }
        # a recipe without scores keeps the settings of before there were any
        if pairs := load_pairs(self.config):
            settings["scores"] = pairs_settings(pairs)
        if heads := find_heads(self.config):
            settings["heads"] = heads_settings(heads)
        return settings

    @cached_property
    def schema(self) -> pa.Schema:
        """Columns that it adds; those of scores come last.

        Raises:
            LabelError: if a file of pairs can't be read.
        """
        scores = [(column, pa.float32()) for column in score_columns(self.config)]
        return pa.schema([*SCHEMA, *scores])

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """Label every row that can be decoded; the others get a reason.

        Without rows nothing is loaded, since a labeller takes a gigabyte and half a minute.

        Raises:
            LabelError: if the labeller can't be loaded.
        """
        schema = pa.schema([("id", pa.string()), ("reason", pa.string()), *self.schema])
        if not len(rows):
            return schema.empty_table()
        from curate.stages.label.clip import load_labeller  # torch: only where labels are computed

        labeller = load_labeller(self.config)
        # embed images that are not cached, then classify all of them
        cache = _cache(shard, shard.name, labeller.name, labeller.key)
        embeddings, errors = cache.get_or_compute(
            rows,
            lambda images: labeller.embed(map(io.BytesIO, images)),
            vector_type(labeller.dim),
            save=self.config.keep_embeddings,
        )
        write_error_log(shard, StageName.LABEL, errors)
        ids = rows["id"].to_pylist()
        digests = zip(ids, rows["sha256"].to_pylist(), strict=True)
        vectors = [embeddings[digest] for id_, digest in digests if id_ not in errors]
        vectors_ND = np.array(vectors, np.float32).reshape(-1, labeller.dim)
        labels = iter(self._labels(labeller, vectors_ND))
        out = []
        for id_ in ids:
            row = {"id": id_, "reason": None}
            if id_ in errors:
                row["reason"] = errors[id_].reason.value
            else:
                row |= next(labels)
            out.append(row)
        return pa.Table.from_pylist(out, schema=schema)

    def _labels(self, labeller: Labeller, vectors_ND: NDArray[np.float32]) -> list[dict[str, Any]]:
        """Return the columns of each labelled image."""
        labels = []
        for result in labeller.classify(vectors_ND):
            labels.append(dict(zip(SCHEMA.names, astuple(result), strict=True)))
        scores = labeller.score(vectors_ND) if len(self.schema) > len(SCHEMA) else {}
        for column, score_N in scores.items():
            for label, score in zip(labels, score_N.tolist(), strict=True):
                label[column] = score
        return labels


def read_embeddings(shard: Shard, name: str, rows: pa.Table) -> NDArray[np.float32]:
    """Return a shard's cached embeddings, one for each row; zeros for rows without a label.

    Args:
        shard: opens the run's files.
        name: of the shard of images.
        rows: with columns sha256, label_model and reason.

    Returns:
        Shape (rows, dim); dim is 0 if no row has a label.

    Raises:
        RunError: if one is missing, or they are another model's.
    """
    labelled = np.flatnonzero(rows["label_model"].is_valid())
    if not len(labelled):
        return np.zeros((len(rows), 0), np.float32)
    model, *others = rows["label_model"].drop_null().unique().to_pylist()
    cache = _cache(shard, name, model)
    known = cache.read()
    digests = rows["sha256"].take(labelled).to_pylist()
    if others or not known.keys() >= set(digests):
        raise RunError(
            f"select.dedup.semantic wants the embeddings of {cache.path}, which aren't there "
            "whole: make the labels again, with  --from label"
        )
    vectors_ND = np.stack([known[digest] for digest in digests])
    found_ND = np.zeros((len(rows), vectors_ND.shape[1]), np.float32)
    found_ND[labelled] = vectors_ND
    return found_ND


def _cache(shard: Shard, name: str, model: str, key: str | None = None) -> ImageCache:
    """Return the cache of a shard's embeddings by a model, and by a labeller's key if given."""
    metadata = {b"label_model": model.encode()}
    if key is not None:
        metadata[b"labeller"] = key.encode()
    return ImageCache(shard, f"{StageName.LABEL.cache}/{name}.parquet", "embedding", metadata)
