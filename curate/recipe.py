"""The typed recipe of a curation run: one class per stage, one line per setting."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    FiniteFloat,
    PositiveFloat,
    PositiveInt,
    Tag,
    field_validator,
    model_validator,
)

from curate.config import UNION, Config
from curate.errors import Reason
from curate.manifest.schema import LEDGER, MANIFEST, PAIRED

__all__ = [
    "FACTS",
    "LOSS_FACTS",
    "SCORE",
    "THUMBNAIL_SHARE",
    "TILE_FACTS",
    "TILE_MEASURES",
    "Bound",
    "Candidates",
    "Dedup",
    "Fact",
    "Fetch",
    "Filters",
    "Frequency",
    "Head",
    "Importance",
    "Label",
    "Measure",
    "Recipe",
    "ScorePair",
    "Select",
    "TestSplit",
    "Tiles",
    "score_column",
]

Share = Annotated[float, Field(ge=0, le=1)]

SCORE = "score_"
"""Beginning of the names of columns that `label.scores` and `label.heads` make."""


def score_column(name: str) -> str:
    """Return the column of a score: sharp -> score_sharp."""
    return f"{SCORE}{name}"


class Candidates(Config):
    """The input, and the columns to read from it."""

    format: Literal["auto", "txt", "csv", "tsv", "jsonl", "parquet", "folder", "img2dataset"] = (
        "auto"
    )
    """Form of the input; `auto` goes by what the path is."""
    columns: dict[str, str] = {}
    """Our column -> the input's, for url, caption, licence, claimed_width and claimed_height; by
    default LAION's names and ours, whatever their case. A nested column is named `image.url`, and a
    column of a csv or tsv without a header by its number from 1."""
    keep: tuple[str, ...] = ("similarity", "punsafe", "pwatermark")
    """Further columns to carry along when the input has them; numbers, usable in `filters`."""
    source: str | None = None
    """Name of the collection, for the `source` column; by default the input's own name."""
    licence: str | None = None
    """Licence of every candidate that states none itself."""
    shard_size: Annotated[int, Field(ge=1, le=10_000)] = 1000
    """Candidates of a full shard: the unit of work, of resume and of distribution.

    A list that fills less than 16 of them is split evenly into 16, of 50 candidates at least.
    """

    @field_validator("columns", mode="before")
    @classmethod
    def _are_names(cls, columns: Any) -> Any:
        if not isinstance(columns, dict):
            return columns
        whole = (name for name, value in columns.items() if type(value) is int)
        return columns | {name: str(columns[name]) for name in whole}

    @field_validator("keep")
    @classmethod
    def _are_columns_of_their_own(cls, keep: tuple[str, ...]) -> tuple[str, ...]:
        ours = {column.name for column in (*LEDGER, *PAIRED)} | {"claimed_width", "claimed_height"}
        for name in keep:
            if name in ours or keep.count(name) > 1:
                raise ValueError(f"{name} is there already")
            # a list must not say where bytes are on this machine
            if name == "malformed" or name.startswith("local_"):
                raise ValueError(f"{name} is a name of ours: give the list's column another one")
        return keep

    @model_validator(mode="after")
    def _are_columns_of_ours(self) -> Candidates:
        known = ("url", "caption", "licence", "claimed_width", "claimed_height", *self.keep)
        for name in self.columns:
            if name not in known:
                raise ValueError(f"columns names {name!r}, which is none of {', '.join(known)}")
        return self


class Fetch(Config):
    """Bounds and manners of downloads."""

    incidental = frozenset(
        ("engine", "user_agent", "concurrency", "per_host", "per_host_rate", "host_failures")
        + ("deadline", "retries", "backoff")
    )

    engine: Literal["stream", "img2dataset"] = "stream"
    """`stream` is ours; `img2dataset` runs that package's downloader behind the same contract."""
    user_agent: str = "curate/0.1 (image dataset curation)"
    """Sent with every request: say who you are and how to reach you."""
    concurrency: PositiveInt = 64
    """Requests under way at once in one worker."""
    per_host: PositiveInt = 8
    """Requests under way at once to one host, by all workers together."""
    per_host_rate: PositiveFloat | None = None
    """Requests a second to one host, by all workers together; as fast as it answers by default."""
    host_failures: PositiveInt = 10
    """Failures of one host in a row after which its other URLs wait for the end of the shard."""
    deadline: PositiveFloat = 60.0
    """Seconds for one candidate, retries of the connection and redirects included."""
    max_bytes: PositiveInt = 64 * 2**20
    """Bytes of body after which a response is given up."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """Further tries after a transient failure, the last of them at the end of the shard."""
    backoff: Annotated[float, Field(ge=0)] = 1.0
    """Seconds before the first retry; doubles with each; a server's Retry-After overrides it."""
    max_redirects: Annotated[int, Field(ge=0, le=20)] = 5
    """Redirects followed."""
    robots: bool = True
    """Whether robots.txt is asked for and heeded."""
    opt_out: tuple[str, ...] = ("noai", "noimageai", "noindex", "noimageindex")
    """Directives of an X-Robots-Tag header that mean no."""
    probe: bool = True
    """Whether the list's claims and the first bytes of a response may reject a candidate by
    `filters`, so that the rest need not be downloaded."""
    allow_networks: tuple[str, ...] = ()
    """CIDR blocks that may be contacted though they are not public, such as 127.0.0.1/32."""

    @field_validator("allow_networks")
    @classmethod
    def _are_networks(cls, blocks: tuple[str, ...]) -> tuple[str, ...]:
        import ipaddress

        for block in blocks:
            ipaddress.ip_network(block)
        return blocks


Fact = Literal[
    "blockiness", "noise_sigma", "spectral_cutoff", "border_share",
    "clipped_low", "clipped_high", "colourfulness", "channel_spread",
    "flat_share", "laplacian", "entropy", "glcm_contrast",
]  # fmt: skip
"""Column that is measured on request only."""

FACTS: tuple[Fact, ...] = get_args(Fact)
LOSS_FACTS: tuple[Fact, ...] = ("blockiness", "spectral_cutoff")
"""Facts that are always measured."""
TILE_FACTS: tuple[Fact, ...] = (
    "blockiness", "noise_sigma", "spectral_cutoff", "clipped_low", "clipped_high",
    "flat_share", "laplacian", "entropy", "glcm_contrast",
)  # fmt: skip
"""Facts that are measured of every tile."""
TILE_MEASURES = ("hf_ratio", "hf_ratio_032", *TILE_FACTS)
"""Numbers that are measured of every tile, beside further cut-offs."""


class Measure(Config):
    """Measures of each image."""

    cutoffs: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Further cut-offs of the high-frequency ratio, as shares of the half-diagonal; 0.25 becomes
    column hf_ratio_025."""
    facts: tuple[Fact, ...] = ()
    """Further facts to measure, each a column; columns of the others are null. `blockiness` and
    `spectral_cutoff` are always measured: they tell which copy of a picture has lost the least."""
    max_pixels: Annotated[int, Field(gt=0, le=178_000_000)] = 64_000_000
    """Images with more pixels are rejected before decoding; measuring takes 8 to 16 bytes of memory
    a pixel, WebP the most, and up to 20 with facts of colours."""

    @field_validator("cutoffs")
    @classmethod
    def _have_columns_of_their_own(cls, cutoffs: tuple[float, ...]) -> tuple[float, ...]:
        columns = [column.name for column in MANIFEST]
        columns += [cls.column(cutoff) for cutoff in cutoffs]
        for column in columns:
            if columns.count(column) > 1:
                raise ValueError(f"{column} is there already")
        return cutoffs

    @staticmethod
    def column(cutoff: float) -> str:
        """Return the name of a cut-off's column: 0.25 -> hf_ratio_025."""
        return f"hf_ratio_{str(cutoff).replace('.', '')}"


_AT_MOST = frozenset({"coded_nbytes", "bpp"})
"""Columns of which a file's length shows the largest possible value."""
_HEADER_COLUMNS = frozenset({"format", "animated", "width", "height", "pixels", "nbytes"})
"""Measured columns that a file's header shows."""

_NEVER_BOUND = (
    "phash", "dup_cluster", "contaminated_by", "frequency_bin", "split", "status", "reason",
    "verdict", "verdict_by", "tile_of", "tile_x", "tile_y", "tiles",
)  # fmt: skip
"""Columns that no rule can name: a hash is no amount, and the others follow from the rules."""

THUMBNAIL_SHARE = 0.5
"""Share of the claimed pixels below which an image that is too small is a thumbnail."""

_MINIMUM_REASONS = {
    "width": Reason.TOO_SMALL,
    "height": Reason.TOO_SMALL,
    "pixels": Reason.TOO_SMALL,
    "nbytes": Reason.TOO_FEW_BYTES,
    "coded_nbytes": Reason.TOO_FEW_BYTES,
    "bpp": Reason.LOW_BPP,
    "spectral_cutoff": Reason.UPSCALED,
    "colourfulness": Reason.COLOURLESS,
    "channel_spread": Reason.COLOURLESS,
}

_MAXIMUM_REASONS = {
    "noise_sigma": Reason.NOISY,
    "blockiness": Reason.BLOCKY,
    "border_share": Reason.BORDERED,
    "clipped_low": Reason.CLIPPED,
    "clipped_high": Reason.CLIPPED,
}


@dataclass(frozen=True)
class Bound:
    """One rule of the filters."""

    column: str
    test: Literal["min", "max", "in"]
    value: Any
    """Smallest or largest allowed value, or all allowed values."""
    reason: Reason
    """Reason of images that break it."""

    def broken_by(self, value: Any) -> bool:
        """Return whether a value of the column is out of bounds; None never is."""
        if value is None:
            return False
        if self.test == "in":
            return value not in self.value
        return bool(value < self.value if self.test == "min" else value > self.value)

    def broken_rows(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return whether each value of the column is out of bounds; a null never is."""
        if self.test == "in":
            known = pc.is_in(column, pa.array(self.value, column.type))
            return pc.and_(pc.is_valid(column), pc.invert(known))
        compare = pc.less if self.test == "min" else pc.greater
        return pc.fill_null(compare(column, self.value), False)


class Filters(Config):
    """Bounds on measured columns; a null value passes every bound."""

    min: dict[str, FiniteFloat] = {}
    """Column -> smallest allowed value."""
    max: dict[str, FiniteFloat] = {}
    """Column -> largest allowed value."""
    allow: dict[str, tuple[str, ...]] = {}
    """Column -> allowed values, such as `format: [JPEG, PNG]`."""
    animated: bool = False
    """Whether images of several frames may stay."""

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """All rules; an image is given the reason of the first that it breaks."""
        bounds = [Bound(name, "in", v, Reason.NOT_ALLOWED) for name, v in self.allow.items()]
        if not self.animated:
            bounds.append(Bound("animated", "in", (False,), Reason.ANIMATED))
        for column, value in self.min.items():
            bounds.append(Bound(column, "min", value, _minimum_reason(column)))
        for column, value in self.max.items():
            bounds.append(Bound(column, "max", value, _maximum_reason(column)))
        return tuple(bounds)


def _minimum_reason(column: str) -> Reason:
    if column.startswith(SCORE):
        return Reason.LOW_SCORE
    texture = Reason.LOW_TEXTURE if column.startswith("hf_ratio") else Reason.BELOW_MINIMUM
    return _MINIMUM_REASONS.get(column, texture)


def _maximum_reason(column: str) -> Reason:
    if column.startswith(SCORE):
        return Reason.HIGH_SCORE
    return _MAXIMUM_REASONS.get(column, Reason.ABOVE_MAXIMUM)


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _some_text(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not texts or not all(text.strip() for text in texts):
        raise ValueError("give one text or more, none of them empty")
    return texts


def _column_name(name: str) -> str:
    if not re.fullmatch("[a-z][a-z0-9_]{0,39}", name):
        raise ValueError("a score's name has up to 40 letters a-z, digits and _, such as sharp")
    return name


Prompts = Annotated[tuple[str, ...], BeforeValidator(_one_or_more), AfterValidator(_some_text)]
"""One text or more; a single one needs no brackets."""
ScoreName = Annotated[str, AfterValidator(_column_name)]


class ScorePair(Config):
    """Two sides of a question that a CLIP model answers with a number from 0 to 1."""

    positive: Prompts
    """Prompts that an image with a score near 1 is like."""
    negative: Prompts
    """Prompts that an image with a score near 0 is like."""
    templates: Prompts = ("{}",)
    """Texts that are filled with each prompt of both sides."""

    @model_validator(mode="before")
    @classmethod
    def _has_two_sides(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("a score wants prompts for both sides, `positive` and `negative`")
        return value

    @field_validator("templates")
    @classmethod
    def _have_a_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            if template.count("{}") != 1:
                raise ValueError(f"{template!r} must hold {{}} exactly once, for the prompt")
        return templates


class Head(Config):
    """A linear layer or several, from an image's embedding to a number."""

    file: str
    """safetensors file of the layers' weights and biases, in the order of their names."""
    activation: Literal["none", "relu", "gelu"] = "none"
    """Function between layers, which the file doesn't tell."""
    output: Literal["none", "sigmoid"] = "none"
    """Function of the last layer's number."""


def _named_file(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


def _kind_of_scores(value: Any) -> str:
    return f"{UNION}name" if isinstance(value, str) else f"{UNION}pairs"


Scores = Annotated[
    Annotated[dict[ScoreName, ScorePair], Tag(f"{UNION}pairs")]
    | Annotated[str, Tag(f"{UNION}name")],
    Discriminator(_kind_of_scores),
]


class Tiles(Config):
    """Boxes of images that are chosen in place of whole images, by measures of their own pixels."""

    size: tuple[Annotated[int, Field(ge=128, le=8192)], ...] = (512,)
    """Sides of a tile in pixels, one or several; `size: 512` is one."""
    grid: Literal[8, 16] = 8
    """Pixels of JPEG's grid: sides, places and stride are multiples of it; 16 suits 4:2:0."""
    stride: PositiveInt | None = None
    """Pixels from one tile to the next, half of the largest size or more; by default the size."""
    per_image: PositiveInt = 4
    """Tiles of one image, at most."""
    prefer: str = "hf_ratio_032"
    """Measure that ranks the tiles of an image, largest first; with a `-` before it smallest first,
    such as `-flat_share`."""
    overlap: bool = False
    """Whether chosen tiles of one image may share pixels."""
    min: dict[str, FiniteFloat] = {}
    """Measure -> smallest allowed value of a tile; an image without any such tile is rejected."""
    max: dict[str, FiniteFloat] = {}
    """Measure -> largest allowed value of a tile."""

    @field_validator("size", mode="before")
    @classmethod
    def _is_one_or_several(cls, size: Any) -> Any:
        return (size,) if isinstance(size, int) else size

    @model_validator(mode="after")
    def _lie_on_the_grid(self) -> Tiles:
        for name, sides in (("size", self.size), ("stride", (self.stride or self.grid,))):
            for side in sides:
                if side % self.grid:
                    raise ValueError(f"tiles.{name} is {side}, no multiple of {self.grid}")
        if not self.size or len(set(self.size)) < len(self.size):
            raise ValueError("tiles.size wants one side, or several different ones")
        if self.stride is not None and 2 * self.stride < max(self.size):
            raise ValueError(
                f"tiles.stride is {self.stride}: half of the largest size, {max(self.size) // 2}, "
                "is the least"
            )
        return self

    @property
    def measuring(self) -> dict[str, Any]:
        """Settings that the measures of tiles depend on."""
        return {"size": list(self.size), "grid": self.grid, "stride": self.stride}

    @property
    def filtering(self) -> dict[str, Any]:
        """Settings that decide which tiles may be chosen."""
        return {"min": self.min, "max": self.max}

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """All rules; a tile that breaks one is never chosen."""
        minima = [Bound(name, "min", v, Reason.NO_TILE) for name, v in self.min.items()]
        maxima = [Bound(name, "max", v, Reason.NO_TILE) for name, v in self.max.items()]
        return (*minima, *maxima)


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return the question whether the nearest of the known names was meant; empty without one."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


class Label(Config):
    """The CLIP model that names each image's category."""

    incidental = frozenset({"batch_size", "device", "keep_embeddings"})
    optional = frozenset({"scores", "heads"})

    model: str = "ViT-B-32"
    """open_clip model name, `bundled` for the demo labeller, or `local-dir:PATH` of an open_clip
    model folder."""
    pretrained: str | None = "laion2b_s34b_b79k"
    """open_clip weights tag, or path of a local checkpoint."""
    taxonomy: str | None = None
    """YAML file of classes and prompts; the paper's 16 sub-categories by default."""
    others_margin: Share = 0.0
    """An image whose likeliest category leads by less than this goes to the "... others" of its
    broad class."""
    batch_size: PositiveInt = 64
    """Images per forward pass on a GPU; a CPU always takes a few at a time."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the model; `auto` takes a GPU when there is one."""
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    """Arithmetic of the model; other than fp32, `label_model` names it."""
    keep_embeddings: bool = True
    """Whether embeddings stay in the run folder, so that other prompts label without decoding, and
    `curate find` finds images."""
    scores: Scores = {}
    """Name -> pair of prompts, each a column such as score_sharp; `shipped` for the pairs that come
    with curate, or a YAML file of pairs."""
    heads: dict[ScoreName, Annotated[Head, BeforeValidator(_named_file)]] = {}
    """Name -> network over embeddings such as an aesthetic predictor, each a column score_NAME."""

    @property
    def score_columns(self) -> tuple[str, ...] | None:
        """Columns of all scores; None where a file names some of them."""
        if isinstance(self.scores, str):
            return None
        return tuple(map(score_column, (*self.scores, *self.heads)))

    @model_validator(mode="after")
    def _scores_have_names_of_their_own(self) -> Label:
        for name in self.heads:
            if name in self.scores and not isinstance(self.scores, str):
                raise ValueError(f"scores and heads both name {name!r}")
        return self


class Frequency(Config):
    """Target distribution of the high-frequency ratio: normal over log10 of the ratio."""

    column: str = "hf_ratio_032"
    """The measure that is balanced."""
    bins: Annotated[int, Field(ge=1, le=100)] = 12
    """Bins of equal width in log10; the outer two are open."""
    mean: FiniteFloat | None = None
    """Mean of log10(ratio) of the target; fitted to the pool by default."""
    std: Annotated[FiniteFloat, Field(gt=0)] | None = None
    """Standard deviation of log10(ratio) of the target; fitted to the pool by default."""


class TestSplit(Config):
    """The benchmark split: so many images of each named sub-category."""

    __test__ = False  # no test class, whatever its name

    per_category: Annotated[int, Field(ge=0)] = 100
    """Images of each sub-category but the "... others"."""
    overrides: dict[str, Annotated[int, Field(ge=0)]] = {"Text Scene": 50}
    """Sub-category -> its own number."""
    max_share: Share = 0.2
    """Largest share of a sub-category's images that goes to the test split."""

    def quota(self, category: str) -> int:
        """Return the number of images wanted of a category; 0 for the `others`."""
        return self.overrides.get(category, 0 if category.endswith("others") else self.per_category)


class Dedup(Config):
    """Rules for duplicates: of each cluster the image that has lost the least stays."""

    exact: bool = True
    """Whether equal bytes, or equal pixels, make two images the same."""
    perceptual: Annotated[int, Field(ge=0, le=10)] | None = 4
    """Bits of 64 in which the perceptual hashes of the same picture may differ; null: hashes don't
    matter."""
    mirrored: bool = True
    """Whether the mirror image of a picture, by its perceptual hash, is the same picture."""
    semantic: Annotated[float, Field(gt=0, le=1)] | None = None
    """Cosine of embeddings from which two images are the same; null: embeddings don't matter."""


class Importance(Config):
    """Weights of what the balance minimises: images in a wrong place."""

    category: Annotated[int, Field(ge=0, le=10)] = 1
    """Weight of an image of a wrong sub-category."""
    frequency: Annotated[int, Field(ge=0, le=10)] = 1
    """Weight of an image in a wrong frequency bin."""


class Select(Config):
    """Number of selected images, and their balance."""

    benchmarks: tuple[str, ...] = ("shipped",)
    """Lists of benchmarks of which no selected image may show a part: `shipped` for the lists that
    come with curate, or files of `curate decontaminate build`. `[]` looks for none."""
    dedup: Dedup = Dedup()
    """Rules for duplicates."""
    train: PositiveInt = 50_000
    """Images of the training split."""
    test: TestSplit = TestSplit()
    """The benchmark split."""
    frequency: Frequency = Frequency()
    """Target of the frequency distribution."""
    category_weights: dict[str, Annotated[FiniteFloat, Field(ge=0)]] = {}
    """Sub-category -> weight in the target distribution; 1 for those not named."""
    importance: Importance = Importance()
    """Weights of sub-categories and frequencies where not both targets can be met."""
    prefer: str | None = None
    """Column that ranks training images of one sub-category and frequency bin, largest first, such
    as `bpp`; with a `-` before it smallest first, such as `-noise_sigma`. By default a seeded
    order."""
    pins: tuple[str, ...] = ()
    """Manifests (`.parquet`) or lists of ids, one a line, of earlier picks to keep if they pass."""


class Recipe(Config):
    """Everything that a curation run needs, with nothing hidden in code."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """Name of the recipe, shown in the report and the manifest."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of every random choice."""
    candidates: Candidates = Candidates()
    fetch: Fetch = Fetch()
    measure: Measure = Measure()
    filters: Filters = Filters()
    tiles: Tiles | None = None
    """Tiles as the units that are chosen; null for whole images."""
    label: Label = Label()
    select: Select = Select()

    def essence(self) -> dict[str, Any]:
        """See Config. Without tiles it is the essence of a recipe from before there were any."""
        values = super().essence()
        if self.tiles is None:
            del values["tiles"]
        return values

    @property
    def early_bounds(self) -> tuple[Bound, ...]:
        """Rules that fetch can apply: on columns of the list, and of a file's header."""
        if not self.fetch.probe:
            return ()
        known = {"source", "licence", "caption", "host", "claimed_width", "claimed_height"}
        known |= {*self.candidates.keep, *_HEADER_COLUMNS}
        minima = {("min", column) for column in _AT_MOST}
        return tuple(
            bound
            for bound in self.filters.bounds
            if bound.column in known or (bound.test, bound.column) in minima
        )

    @model_validator(mode="after")
    def _embeddings_are_kept(self) -> Recipe:
        if self.select.dedup.semantic is not None and not self.label.keep_embeddings:
            raise ValueError("select.dedup.semantic wants label.keep_embeddings: true")
        return self

    @model_validator(mode="after")
    def _columns_exist(self) -> Recipe:
        given = [c for c in LEDGER if c.name not in _NEVER_BOUND]
        texts = {c.name for c in given if c.type == pa.string()}
        numbers = {c.name for c in given if pa.types.is_integer(c.type)}
        numbers |= {c.name for c in given if pa.types.is_floating(c.type)}
        ratios = {self.measure.column(cutoff) for cutoff in self.measure.cutoffs}
        for name in ratios.intersection(self.candidates.keep):
            raise ValueError(f"candidates.keep names {name}, which measure.cutoffs makes")
        scores = set(self.label.score_columns or ())
        for name in scores.intersection(self.candidates.keep):
            raise ValueError(f"candidates.keep names {name}, which label makes")
        numbers |= {"claimed_width", "claimed_height", *self.candidates.keep, *ratios, *scores}
        unmeasured = set(FACTS) - {*self.measure.facts, *LOSS_FACTS}
        # selection sees the measures of tiles where there are any
        unselectable = unmeasured - (set(TILE_FACTS) if self.tiles else set())
        preferred = [self.select.prefer.removeprefix("-")] if self.select.prefer else []
        tiles = self.tiles or Tiles()
        of_tiles = {*TILE_MEASURES, *ratios}
        named: list[tuple[str, Iterable[str], set[str], str]] = [
            ("filters.min", self.filters.min, numbers, "of numbers"),
            ("filters.max", self.filters.max, numbers, "of numbers"),
            ("filters.allow", self.filters.allow, texts, "of text"),
            ("select.frequency.column", [self.select.frequency.column], numbers, "of numbers"),
            ("select.prefer", preferred, numbers, "of numbers"),
            ("tiles.min", tiles.min, of_tiles, "of tiles"),
            ("tiles.max", tiles.max, of_tiles, "of tiles"),
            ("tiles.prefer", [tiles.prefer.removeprefix("-")], of_tiles, "of tiles"),
        ]
        for where, names, columns, kind in named:
            lacking = unselectable if where.startswith("select") else unmeasured
            for name in names:
                if name not in columns and name.startswith(SCORE) and kind == "of numbers":
                    # the room that reads a file of pairs knows their names
                    if self.label.score_columns is None:
                        continue
                    raise ValueError(
                        f"{where} names {name!r}, which neither label.scores nor label.heads makes"
                    )
                if name not in columns:
                    hint = _nearest(name, columns)
                    raise ValueError(f"{where} names {name!r}, which is no column {kind}{hint}")
                if name in lacking and not where.startswith("tiles"):
                    raise ValueError(
                        f"{where} names {name!r}, which is not measured: add it to measure.facts"
                    )
        return self
