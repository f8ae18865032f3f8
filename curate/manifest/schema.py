"""Manifest schema 1: every column's type, unit and meaning. The only place that names them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import pyarrow as pa

__all__ = [
    "BROAD",
    "CATEGORIES",
    "LEDGER",
    "MANIFEST",
    "NAMED_CATEGORIES",
    "PAIRED",
    "SCHEMA_VERSION",
    "Column",
    "arrow_schema",
    "candidate_id",
    "huggingface_features",
]


SCHEMA_VERSION = "1.2"


def candidate_id(url: str) -> str:
    """Return the id of a normalised URL: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


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
        return next(
            (stage for stage, names in _OTHER_STAGES.items() if self.name in names.split()),
            "measure",
        )


_OTHER_STAGES = {
    "candidates": "id url host source licence caption",
    "fetch": "final_url http_status sha256 tar offset nbytes",
    "label": "broad category label_score label_margin label_model",
    "select": "dup_cluster contaminated_by frequency_bin split status",
    "every stage": "reason",
    "ingest": "degraded_tar degraded_offset degraded_nbytes degraded_sha256 degradation task dataset",
}
"""Columns that are no measures."""


MANIFEST: tuple[Column, ...] = (
    Column(
        "id", pa.string(), "first 16 hex digits of SHA-256 of the normalised URL", required=True
    ),
    Column("url", pa.string(), "the candidate's URL as it was given", required=True),
    Column("final_url", pa.string(), "where redirects led"),
    Column("host", pa.string(), "host name of `url`, lower case"),
    Column("source", pa.string(), "the list, folder or collection that named the candidate"),
    Column("licence", pa.string(), "licence as the source states it"),
    Column("caption", pa.string(), "text that the source gives with the image"),
    Column("http_status", pa.int16(), "status of the last answer; null for local files"),
    Column("sha256", pa.string(), "SHA-256 of the bytes as served, 64 hex digits", required=True),
    Column(
        "tar",
        pa.string(),
        "tar that holds the bytes, relative to the manifest's root; null when published",
    ),
    Column("offset", pa.int64(), "where the bytes start in the tar; null when published", "bytes"),
    Column("nbytes", pa.int64(), "length of the bytes as served", "bytes", required=True),
    Column("format", pa.string(), "true format by content: JPEG, PNG, WEBP, ...", required=True),
    Column("mode", pa.string(), "Pillow mode as decoded: L, RGB, RGBA, CMYK, I;16, ..."),
    Column("bit_depth", pa.int8(), "bits a sample", "bits"),
    Column("icc", pa.bool_(), "whether an ICC profile is embedded"),
    Column("orientation", pa.int8(), "EXIF orientation, 1 to 8; 1 when absent"),
    Column("animated", pa.bool_(), "whether there is more than one frame"),
    Column("width", pa.int32(), "width after EXIF orientation", "pixels", required=True),
    Column("height", pa.int32(), "height after EXIF orientation", "pixels", required=True),
    Column("pixels", pa.int64(), "width x height", "pixels", required=True),
    Column(
        "bpp",
        pa.float64(),
        "8 x nbytes / pixels, of the bytes as served",
        "bits/pixel",
        required=True,
    ),
    Column(
        "jpeg_quality",
        pa.int8(),
        "IJG quality nearest to the luma quantisation table; null for other formats",
    ),
    Column(
        "chroma_subsampling",
        pa.string(),
        "chroma beside luma as a JPEG stores it, J:a:b: 4:4:4, 4:2:0, ...; null for other formats",
    ),
    Column(
        "hf_ratio",
        pa.float64(),
        "share of DFT power beyond 0.5 of the half-diagonal, eqs. (3)-(6) as printed",
        "1",
    ),
    Column(
        "hf_ratio_032",
        pa.float64(),
        "the same beyond 0.32, the scale of the paper's figures and thresholds",
        "1",
    ),
    # the further facts, each null unless measure.facts asks for it: docs/science.md#further-facts
    Column(
        "blockiness",
        pa.float64(),
        "steps over the borders of 8 x 8 blocks by those elsewhere (Minami and Zakhor 1995); 1 without blocks",
        "1",
    ),
    Column(
        "noise_sigma",
        pa.float64(),
        "deviation of the noise: Immerkaer 1996, on the smoothest tiles",
        "8-bit levels",
    ),
    Column(
        "spectral_cutoff",
        pa.float64(),
        "fraction of the Nyquist frequency beyond which the spectrum is empty; under 1 for what was enlarged",
        "1",
    ),
    Column("border_share", pa.float64(), "share of the picture in uniform borders", "1"),
    Column("clipped_low", pa.float64(), "share of pixels with a channel at 0", "1"),
    Column("clipped_high", pa.float64(), "share of pixels with a channel at 255", "1"),
    Column(
        "colourfulness",
        pa.float64(),
        "M3 of Hasler and Süsstrunk 2003: 0 grey, 33 moderate, 80 and more extreme",
    ),
    Column(
        "channel_spread",
        pa.int16(),
        "largest difference between a pixel's channels; 0 for grey as RGB",
        "8-bit levels",
    ),
    Column(
        "pixel_sha256",
        pa.string(),
        "SHA-256 of width, height and the decoded luma, upright: the same after a lossless re-save",
    ),
    Column("phash", pa.uint64(), "64-bit DCT perceptual hash of the luma"),
    Column("broad", pa.string(), "Outdoor, Indoor or Artificial"),
    Column(
        "category",
        pa.string(),
        "sub-category of the taxonomy; 'others' carries its broad class's name before it",
    ),
    Column("label_score", pa.float32(), "probability of the category", "1"),
    Column(
        "label_margin",
        pa.float32(),
        "probability of the likeliest category less that of the runner-up",
        "1",
    ),
    Column("label_model", pa.string(), "model and weights that gave the label"),
    Column(
        "dup_cluster",
        pa.string(),
        "id of the best image of the cluster of duplicates; null where there are none",
    ),
    Column(
        "contaminated_by",
        pa.string(),
        "benchmark and image that it, or a duplicate of it, shows a part of",
    ),
    Column("frequency_bin", pa.int16(), "bin of the balanced frequency measure, 0 the lowest"),
    Column("split", pa.string(), "train or test", required=True),
)

PAIRED: tuple[Column, ...] = (
    Column(
        "degraded_tar",
        pa.string(),
        "file or tar that holds the degraded image's bytes, as `tar` does the clean one's",
    ),
    Column(
        "degraded_offset", pa.int64(), "where those bytes start in it; null when published", "bytes"
    ),
    Column("degraded_nbytes", pa.int64(), "length of those bytes", "bytes"),
    Column(
        "degraded_sha256",
        pa.string(),
        "SHA-256 of those bytes; null where a row has no degraded image",
    ),
    Column(
        "degradation",
        pa.string(),
        "what was done: real_noise, motion_blur, rain, ..., or a synthetic one's name",
    ),
    Column(
        "task",
        pa.string(),
        "what undoing it is, one of the restorer's tasks: sr, derain, denoise, ...",
    ),
    Column("dataset", pa.string(), "the dataset that the image, or pair of images, belongs to"),
)
"""What a paired manifest has beside a manifest's columns: a row also points at a degraded image of the same size."""

LEDGER: tuple[Column, ...] = (
    *(Column(c.name, c.type, c.meaning, c.unit, required=c.name == "id") for c in MANIFEST),
    Column("status", pa.string(), "kept or rejected", required=True),
    Column(
        "reason", pa.string(), "why it was rejected, one of curate.errors.Reason; null when kept"
    ),
)

# Section 3 and appendix A.2 of the paper: 13 named sub-categories in 3 broad classes, each class with its "others"
NAMED_CATEGORIES: dict[str, tuple[str, ...]] = {
    "Outdoor": ("Animals", "People", "Nature", "Transportation", "Architecture"),
    "Indoor": ("Indoor Scenes", "Furniture", "Food", "Indoor Object"),
    "Artificial": ("Comic", "Poster", "Map", "Text Scene"),
}
BROAD: tuple[str, ...] = tuple(NAMED_CATEGORIES)
CATEGORIES: tuple[str, ...] = tuple(
    name for broad in BROAD for name in (*NAMED_CATEGORIES[broad], f"{broad} others")
)
"""The paper's 16 sub-categories."""


def arrow_schema(columns: tuple[Column, ...] = MANIFEST) -> pa.Schema:
    """The columns as an Arrow schema, without file metadata."""
    return pa.schema([pa.field(c.name, c.type) for c in columns])


def huggingface_features(schema: pa.Schema) -> bytes:
    """The value of the `huggingface` metadata key: what lets `datasets.load_dataset` type the columns."""
    features = {field.name: {"dtype": _hf_dtype(field.type), "_type": "Value"} for field in schema}
    return json.dumps({"info": {"features": features}}, separators=(",", ":")).encode()


def _hf_dtype(type_: pa.DataType) -> str:
    return {pa.float32(): "float32", pa.float64(): "float64", pa.bool_(): "bool"}.get(
        type_, str(type_)
    )
