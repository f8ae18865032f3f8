"""Manifest schema 1: every column's type, unit and meaning. The only place that names them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import pyarrow as pa

SCHEMA_VERSION = "1.4"

_OTHER_STAGES = {
    "candidates": "id url host source licence caption",
    "fetch": "final_url http_status sha256 tar offset nbytes",
    "label": "broad category label_score label_margin label_model",
    "select": "dup_cluster contaminated_by frequency_bin split tile_of tile_x tile_y status tiles "
    "verdict verdict_by",
    "every stage": "reason",
    "ingest": "degraded_tar degraded_offset degraded_nbytes degraded_sha256 degradation task "
    "dataset",
}
"""Stages beside `measure` -> the columns that they fill."""


@dataclass(frozen=True)
class Column:
    """One column of the manifest and the ledger."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    required: bool = False
    """Never null in a manifest."""

    @property
    def stage(self) -> str:
        """The stage of a run that its values come from."""
        for stage, names in _OTHER_STAGES.items():
            if self.name in names.split():
                return stage
        return "measure"


def _columns_of(type_: pa.DataType, unit: str = "") -> Callable[..., Column]:
    """Return a constructor of columns of one type: (name, meaning, unit, required)."""

    def column(name: str, meaning: str, unit: str = unit, *, required: bool = False) -> Column:
        return Column(name, type_, meaning, unit, required)

    return column


_text, _flag = _columns_of(pa.string()), _columns_of(pa.bool_())
_int8, _int16, _int32 = _columns_of(pa.int8()), _columns_of(pa.int16()), _columns_of(pa.int32())
_int64, _uint64 = _columns_of(pa.int64()), _columns_of(pa.uint64())
_double, _ratio = _columns_of(pa.float64()), _columns_of(pa.float64(), "1")
_probability = _columns_of(pa.float32(), "1")

MANIFEST: tuple[Column, ...] = (
    _text("id", "first 16 hex digits of SHA-256 of the normalised URL", required=True),
    _text("url", "the candidate's URL as it was given", required=True),
    _text("final_url", "where redirects led"),
    _text("host", "host name of `url`, lower case"),
    _text("source", "the list, folder or collection that named the candidate"),
    _text("licence", "licence as the source states it"),
    _text("caption", "text that the source gives with the image"),
    _int16("http_status", "status of the last answer; null for local files"),
    _text("sha256", "SHA-256 of the bytes as served, 64 hex digits", required=True),
    _text("tar", "tar that holds the bytes, relative to the manifest's root; null when published"),
    _int64("offset", "where the bytes start in the tar; null when published", "bytes"),
    _int64("nbytes", "length of the bytes as served", "bytes", required=True),
    _int64(
        "coded_nbytes",
        "bytes of the coded picture alone, without metadata, previews and whatever lies behind it",
        "bytes",
    ),
    _text("format", "true format by content: JPEG, PNG, WEBP, ...", required=True),
    _text("mode", "Pillow mode as decoded: L, RGB, RGBA, CMYK, I;16, ..."),
    _int8("bit_depth", "bits a sample", "bits"),
    _flag("icc", "whether an ICC profile is embedded"),
    _int8("orientation", "EXIF orientation, 1 to 8; 1 when absent"),
    _flag("animated", "whether there is more than one frame"),
    _int32("width", "width after EXIF orientation", "pixels", required=True),
    _int32("height", "height after EXIF orientation", "pixels", required=True),
    _int64("pixels", "width x height", "pixels", required=True),
    _double(
        "bpp",
        "8 x coded_nbytes / pixels; of nbytes where coded_nbytes is null",
        "bits/pixel",
        required=True,
    ),
    _int8(
        "jpeg_quality", "IJG quality nearest to the luma quantisation table; null for other formats"
    ),
    _text(
        "chroma_subsampling",
        "chroma beside luma as a JPEG stores it, J:a:b: 4:4:4, 4:2:0, ...; null for other formats",
    ),
    _ratio(
        "hf_ratio", "share of DFT power beyond 0.5 of the half-diagonal, eqs. (3)-(6) as printed"
    ),
    _ratio("hf_ratio_032", "the same beyond 0.32, the scale of the paper's figures and thresholds"),
    # the further facts, each null unless measure.facts asks for it: docs/science.md#further-facts
    _ratio(
        "blockiness",
        "steps over the borders of 8 x 8 blocks by those elsewhere (Minami and Zakhor 1995); "
        "1 without blocks",
    ),
    _double(
        "noise_sigma",
        "deviation of the noise: Immerkaer 1996, on the smoothest tiles",
        "8-bit levels",
    ),
    _ratio(
        "spectral_cutoff",
        "fraction of the Nyquist frequency beyond which the spectrum is empty; under 1 for what "
        "was enlarged",
    ),
    _ratio("border_share", "share of the picture in uniform borders"),
    _ratio("clipped_low", "share of pixels with a channel at 0"),
    _ratio("clipped_high", "share of pixels with a channel at 255"),
    _double(
        "colourfulness", "M3 of Hasler and Süsstrunk 2003: 0 grey, 33 moderate, 80 and more extreme"
    ),
    _int16(
        "channel_spread",
        "largest difference between a pixel's channels; 0 for grey as RGB",
        "8-bit levels",
    ),
    _ratio(
        "flat_share",
        "share of whole patches of 240 x 240 whose Sobel magnitude has a variance under 100, as "
        "4KLSDB counts flat ones",
    ),
    _double("laplacian", "mean magnitude of the Laplacian of 4 neighbours", "8-bit levels"),
    _double("entropy", "Shannon entropy of the grey levels", "bits"),
    _double(
        "glcm_contrast",
        "contrast of the grey-level co-occurrence matrix (Haralick 1973): distance 1, mean of 4 "
        "directions",
        "squared 8-bit levels",
    ),
    _text(
        "pixel_sha256",
        "SHA-256 of width, height and the decoded luma, upright: the same after a lossless re-save",
    ),
    _uint64("phash", "64-bit DCT perceptual hash of the luma"),
    _text("broad", "Outdoor, Indoor or Artificial"),
    _text(
        "category",
        "sub-category of the taxonomy; 'others' carries its broad class's name before it",
    ),
    _probability("label_score", "probability of the category"),
    _probability(
        "label_margin", "probability of the likeliest category less that of the runner-up"
    ),
    _text("label_model", "model and weights that gave the label"),
    _text(
        "dup_cluster",
        "id of the best image of the cluster of duplicates; null where there are none",
    ),
    _text("contaminated_by", "benchmark and image that it, or a duplicate of it, shows a part of"),
    _int16("frequency_bin", "bin of the balanced frequency measure, 0 the lowest"),
    _text("split", "train or test", required=True),
    # a tile's row points at the bytes of its whole image: decisions/0044
    _text(
        "tile_of",
        "id of the image that the row is a box of; width, height, pixels and measures are the "
        "box's, the rest is the image's; null for whole images",
    ),
    _int32("tile_x", "left side of the box in the upright image", "pixels"),
    _int32("tile_y", "top of the box in the upright image", "pixels"),
)

REQUIRED: tuple[str, ...] = tuple(column.name for column in MANIFEST if column.required)
"""Names of the columns that every manifest has, without nulls."""

PAIRED: tuple[Column, ...] = (
    _text(
        "degraded_tar",
        "file or tar that holds the degraded image's bytes, as `tar` does the clean one's",
    ),
    _int64("degraded_offset", "where those bytes start in it; null when published", "bytes"),
    _int64("degraded_nbytes", "length of those bytes", "bytes"),
    _text("degraded_sha256", "SHA-256 of those bytes; null where a row has no degraded image"),
    _text(
        "degradation",
        "what was done: real_noise, motion_blur, rain, ..., or a synthetic one's name",
    ),
    _text("task", "what undoing it is, one of the restorer's tasks: sr, derain, denoise, ..."),
    _text("dataset", "the dataset that the image, or pair of images, belongs to"),
)
"""Columns of a paired manifest, whose rows also point at a degraded image of the same size."""

LEDGER: tuple[Column, ...] = (
    *(replace(column, required=column.name == "id") for column in MANIFEST),
    _text("status", "kept or rejected", required=True),
    _text("reason", "why it was rejected, one of curate.errors.Reason; null when kept"),
    _int32("tiles", "tiles of it that were chosen; null where whole images are chosen, or none"),
    _text("verdict", "a person's newest verdict on it: keep, drop or relabel; null without one"),
    _text("verdict_by", "who gave that verdict"),
)

VERDICT: tuple[Column, ...] = (
    _text("id", "id of the image", required=True),
    _text("verdict", "keep, drop or relabel", required=True),
    _text("category", "its category by this verdict; null where the label stands"),
    _text("by", "who gave the verdict", required=True),
    Column("when", pa.timestamp("us", "UTC"), "when it was given", required=True),
    _text("why", "a note of whoever gave it"),
)
"""Columns of a file of verdicts; see curate.manifest.verdicts."""

# section 3 and appendix A.2 of the paper: 13 named sub-categories in 3 broad classes
NAMED_CATEGORIES: dict[str, tuple[str, ...]] = {
    "Outdoor": ("Animals", "People", "Nature", "Transportation", "Architecture"),
    "Indoor": ("Indoor Scenes", "Furniture", "Food", "Indoor Object"),
    "Artificial": ("Comic", "Poster", "Map", "Text Scene"),
}
BROAD: tuple[str, ...] = tuple(NAMED_CATEGORIES)
CATEGORIES: tuple[str, ...] = tuple(
    name for broad in BROAD for name in (*NAMED_CATEGORIES[broad], f"{broad} others")
)
"""The paper's 16 sub-categories: those named, and the "others" of each broad class."""


def candidate_id(url: str) -> str:
    """Return the id of a normalised URL: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def arrow_schema(columns: tuple[Column, ...] = MANIFEST) -> pa.Schema:
    """Return columns as an Arrow schema, without file metadata."""
    return pa.schema([pa.field(c.name, c.type) for c in columns])


def huggingface_features(schema: pa.Schema) -> bytes:
    """Return the value of the `huggingface` metadata key, which types `datasets`' columns."""
    features = {field.name: {"dtype": _hf_dtype(field.type), "_type": "Value"} for field in schema}
    return json.dumps({"info": {"features": features}}, separators=(",", ":")).encode()


def _hf_dtype(type_: pa.DataType) -> str:
    return {pa.float32(): "float32", pa.float64(): "float64"}.get(type_, str(type_))
