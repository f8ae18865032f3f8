"""Dataset card: facts for the users of a dataset, and blanks that only its author can fill in."""

from __future__ import annotations

import re
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
    from curate.stages.report.ledger_counts import Tally

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
    "frequency": "The high-frequency ratio of all measured images (blue), of those kept (orange), "
    "and the target.",
    "categories": "What there was of each sub-category (pale), taken for training (orange) and for "
    "test (purple).",
    "size": "Pixels against bits per pixel, of all measured images and of those kept; the recipe's "
    "bounds are dotted.",
}
_NO_MEASURE = {"offset", "http_status", "phash", "frequency_bin", "orientation", "bit_depth"}
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# the page's light colours: a figure in a file of its own has no page to take them from
_COLOURS = {
    "ink": "#1d1c1a", "soft": "#6b675f", "rule": "#d9d5cb",
    "measured": "#35648f", "kept": "#d0692a", "test": "#7a3b8f",
}  # fmt: skip
_FOLDER = re.compile(
    r"^((?:[A-Za-z][\w+-]+:|file://)?)(?:~?/|[A-Za-z]:[\\/])(?!/).*?([^/\\]*)[/\\]?$"
)


def write_card(shard: Shard, content: Mapping[str, Any], manifests: Mapping[str, Manifest]) -> None:
    """Write `manifest/README.md`, its figures and `manifest/croissant.json`.

    A pure function of its arguments.

    Args:
        shard: gives the run folder, where the manifests are.
        content: the page's content, see `curate.stages.report.page`.
        manifests: by split.
    """
    recipe: Recipe = content["recipe"]
    tally: Tally = content["tally"]
    essence = recipe.essence()
    # folders of this machine are private
    public = _without_folders(essence)
    labels = sorted(str(_without_folders(model)) for model in tally.label_models)
    tables = [manifest.table for manifest in manifests.values()]
    images, fetched = sum(map(len, tables)), sum(map(_count_fetched, tables))
    sha256 = {split: shard.folder.sha256(f"manifest/{split}.parquet") or "" for split in manifests}
    files = {split: f"{split}.parquet" for split in manifests}
    sources = [(_without_folders(name), sum(n)) for name, *n in _counts(tables, "source")]
    figures = {name: _standalone(content[name]) for name in _FIGURES if tally.measured}
    text = render(
        "card.md",
        {
            **content,
            "header": front_matter(files, images),
            "test": manifests["test"],
            "measures": _MEASURES,
            "quantiles": _quantiles(manifests["train"].table),
            "figures": _FIGURES.items() if figures else [],
            "formats": _counts(tables, "format"),
            "sources": sources,
            "labels": ", ".join(labels) or "nobody",
            "people": _people(tables),
            "fetched": fetched,
            "local": images - fetched,
            "recipe_fingerprint": fingerprint(essence),
            "recipe_text": yaml.safe_dump(public, sort_keys=False, allow_unicode=True),
            "sha256": sha256,
        },
        markdown=True,
    )
    for name, figure in figures.items():
        _write(shard, f"manifest/figures/{name}.svg", figure)
    _write(shard, "manifest/README.md", text)
    description = (
        f"Images to train image restorers on, chosen from {tally.rows:,} candidates by curate."
    )
    schemas = {split: (manifests[split].table.schema, sha256[split]) for split in manifests}
    licences = sorted(str(name) for name, _, kept in content["licences"]["rows"] if name and kept)
    croissant = describe(recipe.name, description, schemas, licences).decode()
    _write(shard, "manifest/croissant.json", croissant)


def _write(shard: Shard, path: str, text: str) -> None:
    with shard.create(path) as sink:
        sink.write(text.encode())


def _without_folders(value: Any) -> Any:
    """Return settings or text without folders of absolute paths: `clip.pt`, not `/me/clip.pt`."""
    match value:
        case dict():
            return {key: _without_folders(inner) for key, inner in value.items()}
        case list():
            return [_without_folders(inner) for inner in value]
        case str():
            return _FOLDER.sub(r"\1\2", value)
    return value


def _quantiles(table: pa.Table) -> list[tuple[str, list[str], int]]:
    """Return (column, quantiles, nulls) of every measure that has values."""
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
    """Return (value, rows in each table), the most frequent first."""
    counts: dict[Any, list[int]] = {}
    for number, table in enumerate(tables):
        for name in table[column].drop_null().to_pylist() if column in table.column_names else ():
            counts.setdefault(name, [0] * len(tables))[number] += 1
    ordered = sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0]))
    return [(name, *rows) for name, rows in ordered]


def _people(tables: Sequence[pa.Table]) -> str:
    images = {name: sum(rows) for name, *rows in _counts(tables, "category")}
    people = images.get("People", 0)
    if not people:
        return "people may be seen in images"
    return f"{people:,} images are labelled as showing people"


def _count_fetched(table: pa.Table) -> int:
    """Return the number of images that came from the web."""
    return pc.sum(pc.match_substring_regex(table["url"], "^(?i)https?:")).as_py() or 0


def _standalone(svg: str) -> str:
    """Return a figure of the page as a file of its own, in the page's light colours."""
    for name, colour in _COLOURS.items():
        svg = svg.replace(f"var(--{name})", colour)
    head, _, rest = str(svg).partition(">")
    return f'{head} style="background: #fdfcf9; font-family: Helvetica, Arial, sans-serif">{rest}'
