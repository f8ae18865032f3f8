"""Speed of labelling, decoding included, as ratios in one process: ours and open_clip's README's.

    python -m benchmarks.label [FOLDER] [--images 24] [--models bundled ViT-B-32 MobileCLIP-S1]
                               [--device cuda]

FOLDER holds images; the default is a dozen generated JPEGs of 1 to 6 megapixels, as in a crawl for
HQ-50K. All models but the bundled one have random weights and a small text tower, since the time
doesn't depend on them. On a CPU, everything runs on one thread, and its processor time counts;
multiply by cores. On a GPU, wall-clock time counts.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from curate.errors import ImageError
from curate.images.decode import decode_small, open_image
from curate.recipe import Label
from curate.stages.label.clip import Labeller
from curate.stages.label.taxonomy import load_taxonomy
from curate.stages.label.weights import BUNDLED

Method = Callable[[list[bytes]], NDArray[Any]]
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="folder of images")
    parser.add_argument("--images", type=int, default=24, help="at most so many of them")
    parser.add_argument(
        "--rounds", type=int, default=3, help="the fastest of so many rounds counts"
    )
    parser.add_argument(
        "--models",
        nargs="+",
        default=["bundled", "ViT-B-32"],
        help="bundled, or names of open_clip's",
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    files = list(_generated() if given.folder is None else _found(given.folder))[: given.images]
    megapixels = (
        sum(np.prod(Image.open(io.BytesIO(data)).size) for data in files) / len(files) / 1e6
    )
    print(f"{len(files)} images of {megapixels:.1f} megapixels on average, on {given.device}")
    for model in given.models:
        with tempfile.TemporaryDirectory() as folder:
            name = model if model == "bundled" else f"local-dir:{_untrained(model, Path(folder))}"
            _compare(model, name, files, given.rounds, given.device)


def _compare(title: str, model: str, files: list[bytes], rounds: int, device: str) -> None:
    plain = _Plain(model, device)
    ours = Labeller(config := Label(model=model, pretrained=None, device=device), load_taxonomy())
    coarse = Labeller(config.model_copy(update={"precision": "bf16"}), load_taxonomy())
    methods: dict[str, Method] = {
        "open_clip, one by one": lambda files: plain.label(files, 1),
        "open_clip, batches of 64": lambda files: plain.label(files, 64),
        "ours": lambda files: _label(files, ours),
        "ours, precision: bf16": lambda files: _label(files, coarse),
    }
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds = dict.fromkeys(methods, float("inf"))
    labels = {}
    for number in range(rounds + 1):
        for name, method in methods.items():
            start = clock()
            labels[name] = method(files)
            if number:  # the first round loads and warms up
                seconds[name] = min(seconds[name], clock() - start)
    fastest = min(seconds["open_clip, one by one"], seconds["open_clip, batches of 64"])
    print(
        f"\n{title}\n\n| | images/s | of open_clip's faster way | same labels |\n"
        "| --- | ---: | ---: | ---: |"
    )
    for name, taken in seconds.items():
        same = np.mean(labels[name] == labels["open_clip, one by one"])
        print(f"| {name} | {len(files) / taken:.1f} | {fastest / taken:.2f} x | {same:.0%} |")
    difference, same = _difference(plain, ours, files)
    print(
        f"\nOn the same pixels, embeddings differ from open_clip's by {difference:.0e} at most; "
        f"same labels: {same:.0%}"
    )


class _Plain:
    """open_clip as its README has it, on one thread."""

    def __init__(self, model: str, device: str) -> None:
        name = f"local-dir:{BUNDLED}" if model == "bundled" else model
        self._device = device
        self._model, _, self._prepare = open_clip.create_model_and_transforms(name, device=device)
        self._model.eval()
        tokenize = open_clip.get_tokenizer(name)
        with torch.no_grad():
            means = [
                self._model.encode_text(
                    tokenize(list(category.prompts)).to(device), normalize=True
                ).mean(dim=0)
                for category in load_taxonomy().categories
            ]
        self._classes_KD = torch.nn.functional.normalize(torch.stack(means), dim=-1)

    def label(self, files: list[bytes], batch: int) -> NDArray[Any]:
        """Index of the class of each file."""
        found = []
        for start in range(0, len(files), batch):
            images = [Image.open(io.BytesIO(data)) for data in files[start : start + batch]]
            found.append(self.classify(self.embed(images)))
        return np.concatenate(found)

    def embed(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Embeddings of a batch."""
        with torch.no_grad():
            images_BCHW = torch.stack([self._prepare(image) for image in images]).to(self._device)
            embeddings_BD: torch.Tensor = self._model.encode_image(images_BCHW, normalize=True)
        return embeddings_BD

    def classify(self, embeddings_BD: torch.Tensor) -> NDArray[Any]:
        """Index of the nearest class."""
        shares_BK = (100 * embeddings_BD @ self._classes_KD.T).softmax(dim=-1)
        return np.array(load_taxonomy().names)[shares_BK.argmax(dim=-1).cpu().numpy()]


def _label(files: list[bytes], labeller: Labeller) -> NDArray[Any]:
    embeddings = np.stack(
        [found for found in labeller.embed(map(io.BytesIO, files)) if isinstance(found, np.ndarray)]
    )
    return np.array([result.category for result in labeller.classify(embeddings)])


def _difference(plain: _Plain, labeller: Labeller, files: list[bytes]) -> tuple[float, float]:
    """Return the largest difference of embeddings, and the share of equal labels."""
    pictures = [decode_small(io.BytesIO(data), labeller.side) for data in files]
    ours = np.stack([found for found in labeller.embed(pictures) if isinstance(found, np.ndarray)])
    theirs = torch.cat([plain.embed([picture]) for picture in pictures])
    labels = np.array([result.category for result in labeller.classify(ours)])
    return float(np.abs(ours - theirs.cpu().numpy()).max()), float(
        np.mean(labels == plain.classify(theirs))
    )


def _untrained(model: str, folder: Path) -> Path:
    """Write a model folder of random weights, as open_clip initialises them."""
    config = open_clip.get_model_config(model)
    if config is None:
        raise SystemExit(f"open_clip has no model {model}")
    config = {
        "embed_dim": config["embed_dim"],
        "vision_cfg": config["vision_cfg"],
        "text_cfg": TEXT,
    }
    torch.manual_seed(0)
    tensors = open_clip.CLIP(**config).state_dict()
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        folder / "open_clip_model.safetensors",
    )
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {}})
    )
    return folder


def _found(folder: Path) -> Iterator[bytes]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        try:
            with open_image(io.BytesIO(data)) as image:
                image.load()
        except ImageError:
            continue
        yield data


def _generated() -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    for height, width in (
        (1024, 1024),
        (1080, 1920),
        (1365, 2048),
        (1500, 2000),
        (1879, 1367),
        (2000, 3000),
    ) * 2:
        coarse_HW3 = rng.integers(0, 256, (height // 64, width // 64, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse_HW3).resize((width, height), Image.Resampling.BICUBIC)
        noisy_HW3 = np.asarray(smooth, np.float32) + rng.normal(0, 12, (height, width, 3))
        buffer = io.BytesIO()
        Image.fromarray(noisy_HW3.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
        yield buffer.getvalue()


if __name__ == "__main__":
    main()
