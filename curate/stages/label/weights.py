"""Weights of a recipe's labeller: their file on this machine, and the model name of its labels."""

from __future__ import annotations

import ctypes
import difflib
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import LabelError
from curate.recipe import Label
from curate.runtime import pick_device

__all__ = [
    "Weights",
    "find_gpus",
    "find_weights",
    "model_name",
    "preparation",
    "prepare_labeller",
]

BUNDLED = Path(__file__).with_name("bundled")
LOCAL_DIR = "local-dir:"
CHECKPOINTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
"""Names that open_clip itself looks for first, in its order."""
REACH_SECONDS = 5.0


@dataclass(frozen=True)
class Weights:
    """Arguments by which open_clip builds a model without the network."""

    model: str
    """Architecture: an open_clip name, or `local-dir:` and a folder."""
    checkpoint: Path
    options: dict[str, Any]
    """Preprocessing of pictures, as arguments of `create_model_and_transforms`."""


def model_name(config: Label) -> str:
    """Return the `label_model` of a recipe's labels, equal on all machines with these weights.

    A published tag stands for itself; local files have their name and the first 8 hex digits of
    their SHA-256. Arithmetic other than float32 is named too: it changes scores in their third
    digit.

    Raises:
        LabelError: if a local file isn't there.
    """
    folder = _folder(config)
    if folder is not None:
        name = "bundled" if folder == BUNDLED else folder.name
        name = f"{name}@{_digest(_checkpoint_in(folder))}"
    else:
        file = Path(_pretrained(config))
        tag = f"{file.name}@{_digest(file)}" if file.is_file() else config.pretrained
        name = f"{config.model}/{tag}"
    return name if config.precision == "fp32" else f"{name}+{config.precision}"


def preparation(config: Label) -> str | None:
    """Return 8 digits of the SHA-256 of a model folder's configuration: layers and preprocessing.

    Raises:
        LabelError: if the folder has none.
    """
    folder = _folder(config)
    return None if folder is None else _digest(folder / "open_clip_config.json")


def prepare_labeller(config: Label) -> None:
    """Download a published tag that isn't on this machine yet, and check that the device exists.

    Raises:
        LabelError: see `model_name`, `find_weights` and `pick_device`.
    """
    model_name(config)
    if config.device == "cuda":
        pick_device(config.device, setting="label.device", error=LabelError)
    if _folder(config) is None and not Path(config.pretrained or "").is_file():
        find_weights(config)


def find_gpus() -> tuple[str, ...]:
    """Return the GPUs that PyTorch sees, named as in CUDA_VISIBLE_DEVICES."""
    # importing PyTorch takes seconds, so only where there is a driver
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return ()
    import torch

    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(visible.split(",")[:count] if visible else map(str, range(count)))


def find_weights(config: Label) -> Weights:
    """Find a labeller's weights, downloading a published tag that isn't on this machine yet.

    Raises:
        LabelError: if there are none, or their hub can't be reached; says how to get them.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    folder = _folder(config)
    if folder is not None:
        return Weights(f"{LOCAL_DIR}{folder}", _checkpoint_in(folder), {})
    model, known = config.model, open_clip.list_models()
    if model not in known:
        raise LabelError(f"label.model {model!r} is unknown to open_clip{_nearest(model, known)}")
    pretrained = _pretrained(config)
    tags = open_clip.list_pretrained_tags_by_model(model)
    if Path(pretrained).is_file():
        # a bare file names no preprocessing; published weights of one model nearly always agree
        published = get_pretrained_cfg(model, tags[0]) if tags else {}
        return Weights(model, Path(pretrained), _options(published, quick_gelu=False))
    published = get_pretrained_cfg(model, pretrained)
    if published:
        options = _options(published, published.get("quick_gelu", False))
        return Weights(model, _fetch(model, pretrained, published), options)
    fault = f"is neither a file nor a tag of {model}{_nearest(pretrained, tags)}"
    raise LabelError(f"label.pretrained {pretrained!r} {fault}")


def _pretrained(config: Label) -> str:
    if config.pretrained is None:
        raise LabelError(
            f"label.model {config.model!r} has no weights: set label.pretrained to a tag or a file"
        )
    return config.pretrained


def _folder(config: Label) -> Path | None:
    """Return the model folder of a recipe, if it names one."""
    if config.model == "bundled":
        return BUNDLED
    if config.model.startswith(LOCAL_DIR):
        return Path(config.model.removeprefix(LOCAL_DIR)).resolve()
    return None


def _checkpoint_in(folder: Path) -> Path:
    for name in CHECKPOINTS:
        if (folder / name).is_file():
            return folder / name
    raise LabelError(
        f"model folder {folder} holds no weights: "
        f"want open_clip_config.json beside one of {', '.join(CHECKPOINTS)}"
    )


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:8]
    except OSError as error:
        raise LabelError(f"can't read weights {file}: {error.strerror}") from error


def _options(published: dict[str, Any], quick_gelu: bool) -> dict[str, Any]:
    keys = ("mean", "std", "interpolation", "resize_mode")
    options = {f"image_{key}": published[key] for key in keys if key in published}
    return options | {"force_quick_gelu": quick_gelu}


def _fetch(model: str, tag: str, published: dict[str, Any]) -> Path:
    """Return the file of a published tag, from the hub's cache or downloaded into it."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the hub's client is imported
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, HTTPError
    from open_clip.pretrained import download_pretrained

    repository, file = os.path.split(published["hf_hub"])
    files = [file] if file else list(CHECKPOINTS)
    try:
        if repository:
            for name in files:
                cached = huggingface_hub.try_to_load_from_cache(repository, name)
                if isinstance(cached, str):
                    return Path(cached)
            # the hub's client retries for most of a minute; one request shows that it is offline
            with suppress(EntryNotFoundError):
                url = huggingface_hub.hf_hub_url(repository, files[0])
                huggingface_hub.get_hf_file_metadata(url, timeout=REACH_SECONDS)
        return Path(download_pretrained(published))
    except (OSError, RuntimeError, HTTPError) as error:
        source = repository or published["url"]
        raise LabelError(_fetch_instructions(model, tag, source, error)) from error


def _fetch_instructions(model: str, tag: str, source: str, error: Exception) -> str:
    if source.startswith("http"):
        command, file = f"curl -LO {source}", source.rsplit("/", 1)[-1]
    else:
        command, file = f"hf download {source} --local-dir weights", f"weights/{CHECKPOINTS[0]}"
    cause = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return (
        f"can't download the weights of {model}/{tag} ({cause}). "
        f"On a machine with network run  {command}  then set label.pretrained=/path/to/{file}; "
        "or set label.model=bundled for the small demo labeller"
    )


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"; did you mean {', '.join(near)}?"
    return f"; known: {', '.join(known)}" if known else ""
