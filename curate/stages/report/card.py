"""The dataset card: what there is to say of a dataset to those who are to use it, and what only its author can say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from curate.config import fingerprint
from curate.manifest import MANIFEST, Manifest
from curate.manifest.croissant import describe
from curate.manifest.export.huggingface import front_matter
from curate.stages.report.template import render

if TYPE_CHECKING:
    from curate.engine.stage import Shard
    from curate.recipe import Recipe

__all__ = ["write_card"]

_MEASURES = (
    ("Images", "number", "decimal", 0),
    ("Pixels, mean", "pixels", "decimal", 0),
    ("Bits per pixel, mean", "bpp", "decimal", 2),
    ("High-frequency ratio beyond 0.32, mean", "hf_ratio_032", "percent", 4),
    ("High-frequency ratio beyond 0.5, mean", "hf_ratio", "percent", 4),
    ("Diversity over sub-categories", "diversity", "decimal", 3),
    ("Entropy over broad classes, nats", "natural_diversity", "decimal", 3),
)
_FIGURES = {
    "frequency": "The high-frequency ratio of all measured images (blue), of those kept (orange), and the target.",
    "categories": "What there was of each sub-category (pale), taken for training (orange) and for test (purple).",
    "size": "Pixels against bits per pixel, of all measured images and of those kept; the recipe's bounds are dotted.",
}
_NO_MEASURE = {"offset", "http_status", "phash", "frequency_bin", "orientation", "bit_depth"}
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# the page's colours on paper: a figure by itself has no page to take them from
_COLOURS = {"ink": "#1d1c1a", "soft": "#6b675f", "rule": "#d9d5cb"}
_COLOURS |= {"measured": "#35648f", "kept": "#d0692a", "test": "#7a3b8f"}
_PLACE = re.compile(
    r"^((?:[A-Za-z][\w+-]+:|file://)?)(?:~?/|[A-Za-z]:[\\/])(?!/).*?([^/\\]*)[/\\]?$"
)


def write_card(shard: Shard, content: Mapping[str, Any], manifests: Mapping[str, Manifest]) -> None:
    """Write `manifest/README.md`, its figures and `manifest/croissant.json`. A pure function of its arguments.

    Args:
        shard: gives the run folder, where the manifests are.
        content: what the page shows, see `curate.stages.report.page`.
        manifests: by split.
    """
    recipe: Recipe = content["recipe"]
    # where this machine keeps its files is nobody's business
    recipe_text = yaml.safe_dump(
        _without_places(recipe.essence()), sort_keys=False, allow_unicode=True
    )
    labels = (
        ", ".join(sorted(str(_without_places(model)) for model in content["tally"].label_models))
        or "nobody"
    )
    tables = [manifest.table for manifest in manifests.values()]
    sha256 = {split: shard.folder.sha256(f"manifest/{split}.parquet") or "" for split in manifests}
    figures = {name: _standalone(content[name]) for name in _FIGURES if content["tally"].measured}
    text = render(
        "card.md",
        {
            **content,
            "header": front_matter(
                {split: f"{split}.parquet" for split in manifests}, sum(map(len, tables))
            ),
            "test": manifests["test"],
            "measures": _MEASURES,
            "quantiles": _quantiles(manifests["train"].table),
            "figures": [(name, _FIGURES[name]) for name in figures],
            "formats": _counts(tables, "format"),
            "sources": [
                (_without_places(name), sum(counts)) for name, *counts in _counts(tables, "source")
            ],
            "labels": labels,
            "people": _people(tables),
            "fetched": _fetched(tables),
            "local": sum(map(len, tables)) - _fetched(tables),
            "recipe_fingerprint": fingerprint(recipe.essence()),
            "recipe_text": recipe_text,
            "sha256": sha256,
        },
        markdown=True,
    )
    for name, figure in figures.items():
        _write(shard, f"manifest/figures/{name}.svg", figure)
    _write(shard, "manifest/README.md", text)
    description = f"Images to train image restorers on, chosen from {content['tally'].rows:,} candidates by curate."
    files = {split: (manifests[split].table.schema, sha256[split]) for split in manifests}
    licences = sorted(str(name) for name, _, kept in content["licences"]["rows"] if name and kept)
    _write(
        shard,
        "manifest/croissant.json",
        describe(recipe.name, description, files, licences).decode(),
    )


def _write(shard: Shard, path: str, text: str) -> None:
    with shard.create(path) as sink:
        sink.write(text.encode())


def _without_places(value: Any) -> Any:
    """Settings or text less the folders of absolute paths; of `/home/me/clip.pt` that is `clip.pt`."""
    match value:
        case dict():
            return {key: _without_places(inner) for key, inner in value.items()}
        case list():
            return [_without_places(inner) for inner in value]
        case str():
            return _PLACE.sub(r"\1\2", value)
    return value


def _quantiles(table: pa.Table) -> list[tuple[str, list[str], int]]:
    """(column, values, nulls) of every measure that there is."""
    found = []
    for column in MANIFEST:
        numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        if not numeric or column.name in _NO_MEASURE or column.name not in table.column_names:
            continue
        values = table[column.name]
        if values.null_count < len(values):
            quantiles = pc.quantile(values, list(_QUANTILES)).to_pylist()
            found.append((column.name, [_short(value) for value in quantiles], values.null_count))
    return found


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _counts(tables: Sequence[pa.Table], column: str) -> list[tuple[Any, ...]]:
    """(value, rows in each table), the commonest first."""
    counters = [Counter(t[column].to_pylist() if column in t.column_names else ()) for t in tables]
    names = {name for counter in counters for name in counter if name is not None}
    rows = [(name, *(counter[name] for counter in counters)) for name in names]
    return sorted(rows, key=lambda row: (-sum(row[1:]), row[0]))


def _people(tables: Sequence[pa.Table]) -> str:
    people = sum(
        counts[0]
        for name, *counts in _counts([pa.concat_tables(tables)], "category")
        if name == "People"
    )
    return (
        f"{people:,} images are labelled as showing people"
        if people
        else "people may be seen in images"
    )


def _fetched(tables: Sequence[pa.Table]) -> int:
    """Images that came from the web."""
    return sum(
        pc.sum(pc.match_substring_regex(table["url"], "^(?i)https?:")).as_py() or 0
        for table in tables
    )


def _standalone(svg: str) -> str:
    """A figure of the page as a file of its own: on paper, in the page's light colours."""
    for name, colour in _COLOURS.items():
        svg = svg.replace(f"var(--{name})", colour)
    head, _, rest = str(svg).partition(">")
    return f'{head} style="background: #fdfcf9; font-family: Helvetica, Arial, sans-serif">{rest}'
