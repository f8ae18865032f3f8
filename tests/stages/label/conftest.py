"""A CLIP model of a few thousand weights beside its token table, random but seeded."""

import io
import json
from contextlib import contextmanager

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from curate.errors import RunError

CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A model folder as open_clip saves it."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {"size": 32}})
    )
    torch.manual_seed(0)
    model = open_clip.CLIP(**CONFIG)
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    return folder


@pytest.fixture
def pictures():
    """Seven pictures of different sizes and spectra."""
    rng = np.random.default_rng(1)
    sizes = [(40, 60), (90, 33), (64, 64), (300, 200), (33, 32), (128, 50), (61, 67)]
    return [
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).resize(size[::-1])
        for size in sizes
    ]


class ShardInMemory:
    """Shard in memory, as far as a shard function needs it."""

    name = "part-00000"
    discard = False

    def __init__(self):
        self.folder = self
        self.files = {}
        self.volatile = set()
        self.advanced = 0

    def open(self, path):
        if path not in self.files:
            raise RunError(path)
        return io.BytesIO(self.files[path])

    @contextmanager
    def create(self, path, *, volatile=False):
        sink = io.BytesIO()
        yield sink
        self.files[path] = sink.getvalue()
        self.volatile |= {path} if volatile else set()

    def remove(self, path):
        self.files.pop(path, None)

    def advance(self, rows=1, reason=None):
        self.advanced += rows


@pytest.fixture
def shard():
    return ShardInMemory()
