"""Error tree, and the closed list of reasons for which a candidate is rejected.

    CurateError               the root; the command line prints one line and exits with 1
    ├── RecipeError           a recipe that is unreadable, or has an unknown key or a bad value
    ├── InputError            candidates that can't be read
    ├── RunError              a run folder that is unwritable, corrupt, in use or of another recipe
    ├── ManifestError         a manifest that breaks its schema or points at bytes that aren't there
    ├── LabelError            a labeller or taxonomy that can't be loaded
    ├── RestoreError          a restorer that can't be built, trained, loaded or applied
    ├── MissingExtra          a part of the package whose libraries aren't installed
    └── ImageError            one image that can't be measured; carries the Reason

A message says what was wrong, where, and what to do.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "CurateError",
    "ImageError",
    "InputError",
    "LabelError",
    "ManifestError",
    "MissingExtra",
    "Reason",
    "RecipeError",
    "RestoreError",
    "RunError",
]


class CurateError(Exception):
    """Root of every error that a user can cause or mend."""


class RecipeError(CurateError):
    """A recipe that can't be used."""


class InputError(CurateError):
    """Candidates that can't be read."""


class RunError(CurateError):
    """A run folder that can't be used."""


class ManifestError(CurateError):
    """A manifest that breaks its schema or points at bytes that aren't there."""


class LabelError(CurateError):
    """A labeller or taxonomy that can't be loaded."""


class RestoreError(CurateError):
    """A restorer that can't be built, trained, loaded or applied."""


class MissingExtra(CurateError):  # noqa: N818 - reads as the noun it is
    """A part of the package whose libraries aren't installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, extra)  # unformatted, so that it can be pickled

    def __str__(self) -> str:
        what, extra = self.args
        return f"{what} needs libraries that aren't installed: run  {self.command(extra)}"

    @staticmethod
    def command(extra: str) -> str:
        """Return the command that installs the libraries of an extra."""
        return f"pip install 'curate-restoration[{extra}]'"


class ImageError(CurateError):
    """An image that can't be measured."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)  # unformatted, so that it can be pickled
        self.reason = reason

    def __str__(self) -> str:
        reason, detail = self.args
        return f"{reason}: {detail}"


class Reason(StrEnum):
    """Reason why a candidate was rejected: a closed list, so that reports can count.

    `stage` names the stage that gives the reason, `meaning` explains it in a line, and `transient`
    is true if a retry may end differently.
    """

    stage: str
    meaning: str
    transient: bool

    def __new__(cls, value: str, stage: str, meaning: str, transient: bool = False) -> Reason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.stage = stage
        member.meaning = meaning
        member.transient = transient
        return member

    BAD_URL = (
        "bad_url",
        "candidates",
        "the line is no absolute URL, or has more fields than the list's header",
    )
    FORBIDDEN_SCHEME = "forbidden_scheme", "fetch", "neither http nor https"
    FORBIDDEN_ADDRESS = (
        "forbidden_address",
        "fetch",
        "the host's address is not public and not allowed by the recipe",
    )
    CREDENTIALS = "credentials", "candidates", "the URL carries a user name or password"
    REMOVED = (
        "removed",
        "candidates",
        "taken out with `curate remove`: nothing of it is kept but this row",
    )
    ROBOTS = "robots", "fetch", "the host's robots.txt forbids it"
    OPTED_OUT = "opted_out", "fetch", "an X-Robots-Tag header forbids it"
    DNS = "dns", "fetch", "the host name did not resolve", True
    CONNECT = "connect", "fetch", "no connection, or it broke before an answer", True
    BAD_RESPONSE = "bad_response", "fetch", "an answer that is no HTTP, or has endless headers"
    TLS = "tls", "fetch", "the certificate could not be verified"
    TIMEOUT = "timeout", "fetch", "not finished within the deadline", True
    REDIRECTS = "redirects", "fetch", "too many redirects, or a loop of them"
    HTTP_404 = "http_404", "fetch", "gone: status 404 or 410"
    HTTP_4XX = "http_4xx", "fetch", "refused: another 4xx status"
    HTTP_429 = "http_429", "fetch", "the host asked for fewer requests", True
    HTTP_5XX = "http_5xx", "fetch", "the host failed", True
    HTTP_OTHER = "http_other", "fetch", "a status that is neither success, redirect nor error"
    TOO_LARGE = "too_large", "fetch", "more bytes than the recipe's limit"
    TRUNCATED = "truncated", "fetch", "fewer bytes than promised", True
    EMPTY = "empty", "fetch", "a body of no bytes"
    NOT_IMAGE = "not_image", "fetch", "the bytes are no image in a known format"
    UNREADABLE = "unreadable", "fetch", "a local file that can't be read", True
    FORMAT_UNSUPPORTED = (
        "format_unsupported",
        "measure",
        "a known format that this installation can't decode",
    )
    TOO_MANY_PIXELS = (
        "too_many_pixels",
        "measure",
        "more pixels than the recipe's limit, or a side over 65,535",
    )
    TOO_COSTLY = (
        "too_costly",
        "measure",
        "decoding it takes more time or memory than any picture of its size needs",
    )
    DECODE_FAILED = "decode_failed", "measure", "the image is damaged"
    CRASHED = "crashed", "measure", "decoding it killed a worker, again and again"
    TOO_SMALL = "too_small", "filter", "a side shorter than the recipe's minimum"
    SMALLER_THAN_CLAIMED = (
        "smaller_than_claimed",
        "filter",
        "too small, and a fraction of the size that the list claims: a thumbnail",
    )
    TOO_FEW_BYTES = "too_few_bytes", "filter", "fewer bytes than the recipe's minimum"
    LOW_BPP = "low_bpp", "filter", "compressed harder than the recipe allows"
    LOW_TEXTURE = "low_texture", "filter", "less fine texture than the recipe's minimum"
    UPSCALED = (
        "upscaled",
        "filter",
        "a spectrum that ends under the recipe's minimum: enlarged, or out of focus",
    )
    NOISY = "noisy", "filter", "more noise than the recipe allows"
    BLOCKY = "blocky", "filter", "more of JPEG's blocks than the recipe allows"
    CLIPPED = "clipped", "filter", "more pixels at 0 or at 255 than the recipe allows"
    BORDERED = "bordered", "filter", "more of it uniform borders than the recipe allows"
    COLOURLESS = "colourless", "filter", "less colour than the recipe's minimum: grey, or nearly"
    ANIMATED = "animated", "filter", "more than one frame"
    BELOW_MINIMUM = (
        "below_minimum",
        "filter",
        "one of its measures is under its bound in filters.min",
    )
    ABOVE_MAXIMUM = (
        "above_maximum",
        "filter",
        "one of its measures is over its bound in filters.max",
    )
    LOW_SCORE = (
        "low_score",
        "filter",
        "a score of its embedding is under its bound in filters.min",
    )
    HIGH_SCORE = (
        "high_score",
        "filter",
        "a score of its embedding is over its bound in filters.max",
    )
    NOT_ALLOWED = "not_allowed", "filter", "a value that filters.allow doesn't list"
    NO_TILE = (
        "no_tile",
        "filter",
        "smaller than a tile of the recipe, or no tile of it is within the bounds of `tiles`",
    )
    DUPLICATE = "duplicate", "select", "the same picture as an image that was preferred"
    CONTAMINATED = (
        "contaminated",
        "select",
        "it, or a duplicate of it, shows a part of a benchmark image",
    )
    DROPPED_BY_REVIEW = (
        "dropped_by_review",
        "select",
        "a person dropped it in `curate review`: the ledger says who",
    )
    SURPLUS = "surplus", "select", "good, but the dataset has enough of its kind"
    RECODED = "recoded", "rebuild", "the picture that was published, in other bytes"
    CHANGED = "changed", "rebuild", "another picture than was published, as far as hashes tell"
    INTERNAL_ERROR = (
        "internal_error",
        "engine",
        "an unexpected error of this program about one candidate: please report it",
    )
    QUARANTINED = "quarantined", "engine", "its shard failed again and again", True
