"""Trains as one of the processes that `torchrun` starts, and writes down what it saw.

Arguments: a manifest, and folders with a recipe each.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import torch

from curate.restore.data.patches import PatchDataset
from curate.restore.recipe import TrainRecipe
from curate.restore.training.lightning_module import RestorationTask
from curate.restore.training.trainer import train

torch.set_num_threads(1)
rank = os.environ["RANK"]
seen: list[int] = []
hashes: list[str] = []
reported: list[int] = []
read = PatchDataset.__getitems__


def read_and_note(self: PatchDataset, keys: list[tuple[int, int]]):
    seen.extend(number for _, number in keys)
    return read(self, keys)


def note_weights(self: RestorationTask) -> None:
    data = b"".join(p.detach().numpy().tobytes() for p in self.model.parameters())
    hashes.append(hashlib.sha256(data).hexdigest())


PatchDataset.__getitems__ = read_and_note
RestorationTask.on_train_epoch_end = note_weights
for folder in map(Path, sys.argv[2:]):
    for notes in (seen, hashes, reported):
        notes.clear()
    recipe = TrainRecipe.load(folder / "recipe.yaml")
    result = train(
        recipe, [sys.argv[1]], folder / "out", progress=lambda done, *_: reported.append(done)
    )
    note = {
        "seen": seen,
        "hashes": hashes,
        "reported": reported,
        "leads": result.leads,
        "metrics": dict(result.metrics),
    }
    (folder / f"rank{rank}.json").write_text(json.dumps(note))
