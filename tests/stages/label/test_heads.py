"""Heads over embeddings: found by the shapes of their tensors, applied as torch would."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from curate.errors import LabelError
from curate.recipe import Label
from curate.stages.label.heads import HeadNetwork, find_heads, heads_settings

AESTHETIC = (768, 1024, 128, 64, 16, 1)
"""Widths of LAION's second aesthetic predictor, between whose layers are dropouts."""


def label_with(path, **settings):
    return Label.model_validate({"heads": {"good": {"file": str(path), **settings}}})


def save(path, tensors):
    save_file(tensors, path)
    return path


def mlp(widths, between):
    torch.manual_seed(0)
    layers = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), between()]
    return nn.Sequential(*layers[:-1])


@pytest.fixture
def embeddings():
    vectors = np.random.default_rng(0).normal(size=(5, 768))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(
    ("activation", "between"), [("none", nn.Identity), ("relu", nn.ReLU), ("gelu", nn.GELU)]
)
def test_head_of_several_layers_computes_what_torch_does(tmp_path, embeddings, activation, between):
    network = mlp(AESTHETIC, between)
    tensors = {f"layers.{name}": value for name, value in network.state_dict().items()}
    path = save(tmp_path / "head.safetensors", tensors)
    (head,) = find_heads(label_with(path, activation=activation))
    found = HeadNetwork(head, 768, "ViT-L-14")(embeddings)
    with torch.inference_mode():
        expected = network(torch.tensor(embeddings))[:, 0].numpy()
    assert np.allclose(found, expected, atol=1e-6)
    assert heads_settings([head])[0][0] == "good"


def test_linear_head_with_sigmoid_gives_a_probability(tmp_path, embeddings):
    tensors = {"weight": torch.full((1, 768), 0.5), "bias": torch.tensor([0.25])}
    path = save(tmp_path / "head.safetensors", {k: v.bfloat16() for k, v in tensors.items()})
    (head,) = find_heads(label_with(path, output="sigmoid"))
    found = HeadNetwork(head, 768, "ViT-L-14")(embeddings)
    logits = 0.5 * embeddings.astype(np.float64).sum(axis=1) + 0.25
    assert np.allclose(found, 1 / (1 + np.exp(-logits)))


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"0.weight": torch.zeros(4, 8)}, ["ends in 4 numbers"]),
        ({"0.weight": torch.zeros(4, 8), "1.weight": torch.zeros(1, 5)}, ["after a layer of 4"]),
        ({"0.weight": torch.zeros(4)}, ["0.weight of shape (4,)"]),
        ({"0.weight": torch.zeros(1, 8), "0.bias": torch.zeros(2)}, ["0.weight of shape (1, 8)"]),
        ({"0.weight": torch.zeros(1, 8), "1.running_mean": torch.zeros(1)}, ["1.running_mean"]),
        ({}, ["no layers"]),
    ],
)
def test_file_of_another_network_is_refused_in_one_line(tmp_path, tensors, words):
    path = save(tmp_path / "head.safetensors", tensors)
    with pytest.raises(LabelError) as raised:
        find_heads(label_with(path))
    assert "\n" not in str(raised.value)
    assert all(word in str(raised.value) for word in ["label.heads.good", str(path), *words])


def test_missing_file_of_a_head_is_refused(tmp_path):
    with pytest.raises(LabelError, match=r"label.heads.good: can't read .*none"):
        find_heads(label_with(tmp_path / "none.safetensors"))


def test_file_that_is_no_safetensors_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(1, 4)}, path := tmp_path / "head.pth")
    with pytest.raises(LabelError, match="no safetensors file") as raised:
        find_heads(label_with(path))
    assert "\n" not in str(raised.value)


def test_head_for_other_embeddings_names_both_widths(tmp_path):
    path = save(tmp_path / "head.safetensors", {"weight": torch.zeros(1, 768)})
    (head,) = find_heads(label_with(path))
    with pytest.raises(LabelError, match="takes embeddings of 768, and those of tiny have 32"):
        HeadNetwork(head, 32, "tiny")


def test_head_whose_weights_are_not_finite_is_refused(tmp_path):
    path = save(tmp_path / "head.safetensors", {"weight": torch.full((1, 4), torch.nan)})
    (head,) = find_heads(label_with(path))
    with pytest.raises(LabelError, match="aren't finite"):
        HeadNetwork(head, 4, "tiny")
