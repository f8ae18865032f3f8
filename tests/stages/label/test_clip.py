"""Labels by a CLIP model: their values, which depend on image, model and prompts alone."""

import io
import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.special import softmax

from curate.errors import ImageError, InputError, Reason
from curate.recipe import Label
from curate.stages.label.clip import label_images, load_labeller
from curate.stages.label.inference import map_ahead
from curate.stages.label.weights import model_name
from tests.images.work import small_pixels_or_fail


@pytest.fixture
def config(model_folder, tmp_path):
    taxonomy = tmp_path / "taxonomy.yaml"
    taxonomy.write_text("""
        Outdoor:
          templates: ["a photo of {}.", "{} outside"]
          categories: {Animals: [a cat, a dog], People: [a man]}
        Indoor: {templates: ["{}"], categories: {Food: [soup, bread, fruit]}}
    """)
    return Label(model=f"local-dir:{model_folder}", taxonomy=str(taxonomy), batch_size=4)


def test_labels_equal_those_of_open_clip(config, model_folder, pictures):
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{model_folder}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{model_folder}")
    prompts = [
        ["a photo of a cat.", "a cat outside", "a photo of a dog.", "a dog outside"],
        ["a photo of a man.", "a man outside"],
        ["soup", "bread", "fruit"],
    ]
    with torch.inference_mode():
        means = [
            model.eval().encode_text(tokenize(texts), normalize=True).mean(0) for texts in prompts
        ]
        classes = torch.nn.functional.normalize(torch.stack(means), dim=-1).numpy()
        images = torch.stack([prepare(picture) for picture in pictures])
        embeddings = model.encode_image(images, normalize=True).numpy()
    shares = softmax(model.logit_scale.exp().item() * embeddings @ classes.T, axis=1)
    labeller = load_labeller(config)
    found = embed(labeller, pictures)
    assert found.dtype == np.float32
    assert np.allclose(found, embeddings, atol=1e-6)
    for result, share in zip(labeller.classify(found), shares, strict=True):
        assert result.category == ("Animals", "People", "Food")[share.argmax()]
        assert result.broad == ("Outdoor", "Outdoor", "Indoor")[share.argmax()]
        assert result.score == pytest.approx(share.max(), abs=1e-4)
        assert result.margin == pytest.approx(np.diff(np.sort(share))[-1], abs=2e-4)


def png(picture):
    picture.save(file := io.BytesIO(), "PNG")
    return file


def embed(labeller, pictures):
    return np.stack(list(labeller.embed(pictures)))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_embedding_is_independent_of_other_pictures(config, pictures, count):
    labeller = load_labeller(config)
    together = embed(labeller, pictures)
    apart = [
        embed(labeller, pictures[start : start + count]) for start in range(0, len(pictures), count)
    ]
    assert np.array_equal(together, np.concatenate(apart))
    assert np.array_equal(together[::-1], embed(labeller, pictures[::-1]))


def test_embedding_of_bundled_labeller_is_independent_of_other_pictures(pictures):
    labeller = load_labeller(Label(model="bundled"))
    together = embed(labeller, pictures[:5])
    assert np.array_equal(together[[3]], embed(labeller, pictures[3:4]))
    assert np.array_equal(together[::-1], embed(labeller, pictures[4::-1]))


def test_embedding_is_independent_of_threads_and_restores_them(config, pictures):
    seen = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            seen.append(embed(load_labeller(config), pictures))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*seen)


def test_map_ahead_in_threads_gives_the_same_results(config, pictures):
    """The way pictures go to a GPU, which a test can't ask for."""
    files = [
        io.BytesIO(b"no picture") if n == 2 else png(picture) for n, picture in enumerate(pictures)
    ]
    labeller = load_labeller(config)
    with map_ahead(labeller._preprocess, files, ahead=3) as ready:
        ahead = list(ready)
    with map_ahead(labeller._preprocess, files, ahead=0) as ready:
        one_by_one = list(ready)
    assert isinstance(ahead[2], ImageError)
    assert all(
        torch.equal(*pair) for n, pair in enumerate(zip(ahead, one_by_one, strict=True)) if n != 2
    )


def test_map_ahead_decodes_no_more_than_its_limit():
    taken = []
    items = (taken.append(n) or n for n in range(100))
    with map_ahead(str, items, ahead=3) as ready:
        assert next(ready) == "0"
        assert len(taken) <= 4
        assert [next(ready) for _ in range(5)] == ["1", "2", "3", "4", "5"]
        assert len(taken) <= 9


def test_damaged_file_yields_an_error_in_its_place(config, pictures):
    labeller = load_labeller(config)
    found = list(labeller.embed([pictures[0], io.BytesIO(b"no picture"), png(pictures[1])]))
    assert isinstance(found[1], ImageError)
    assert np.array_equal(found[2], embed(labeller, pictures[1:2])[0])


def test_unexpected_error_of_one_picture_leaves_the_others(config, pictures, monkeypatch):
    files = [png(pictures[0]), io.BytesIO(b"fail"), png(pictures[2])]
    monkeypatch.setattr("curate.stages.label.clip.decode_small_pixels", small_pixels_or_fail)
    found = list(load_labeller(config).embed(files))
    assert [isinstance(item, ImageError) for item in found] == [False, True, False]
    assert found[1].reason == Reason.INTERNAL_ERROR


def test_small_margins_become_others_of_the_broad_class(model_folder, pictures, tmp_path):
    (file := tmp_path / "t.yaml").write_text("""
        A: {templates: ["{}"], categories: {One: [a cat], Two: [soup], A others: [a stone]}}
        B: {templates: ["{}"], categories: {Three: [bread]}}
    """)
    config = Label(model=f"local-dir:{model_folder}", taxonomy=str(file))
    sure = label_images(pictures, config)
    threshold = sorted(label.margin for label in sure)[3]
    strict = label_images(pictures, config.model_copy(update={"others_margin": threshold}))
    for before, after in zip(sure, strict, strict=True):
        assert after.margin == before.margin
        if before.margin >= threshold or before.broad == "B":
            assert after == before
        else:
            assert (after.broad, after.category) == ("A", "A others")
            assert after.score <= before.score
    assert any(
        after.category == "A others" != before.category
        for before, after in zip(sure, strict, strict=True)
    )


def test_training_branches_of_a_tower_are_fused(model_folder, pictures, tmp_path):
    """MobileCLIP's image tower trains several branches for each convolution, and infers by one."""
    tower = {
        "timm_model_name": "fastvit_t8",
        "timm_pool": "avg",
        "timm_proj": None,
        "image_size": 64,
    }
    described = json.loads((model_folder / "open_clip_config.json").read_text())["model_cfg"]
    described |= {"vision_cfg": tower, "embed_dim": 768}
    torch.manual_seed(0)
    model = open_clip.CLIP(**described).eval()
    for (
        name,
        statistics,
    ) in model.visual.named_buffers():  # those of a fresh network would hide what is folded
        if "running" in name:
            statistics.uniform_(0.5, 1.5)
    (folder := tmp_path / "mobile").mkdir()
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": described, "preprocess_cfg": {}})
    )
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    labeller = load_labeller(Label(model=f"local-dir:{folder}"))
    with torch.inference_mode():
        images = torch.stack([labeller._transform(picture) for picture in pictures])
        expected = model.encode_image(images, normalize=True).numpy()
    assert np.allclose(embed(labeller, pictures), expected, atol=1e-5)
    assert convolutions(labeller._model) < convolutions(model)


def convolutions(model):
    return sum(isinstance(module, torch.nn.Conv2d) for module in model.visual.modules())


def test_batch_size_changes_no_label(config, pictures):
    assert label_images(pictures, config.model_copy(update={"batch_size": 3})) == label_images(
        pictures, config
    )


def test_labeller_is_cached_until_settings_or_prompts_change(config):
    kept = load_labeller(config)
    assert load_labeller(config) is kept
    taxonomy = Path(config.taxonomy)
    taxonomy.write_text(taxonomy.read_text().replace("bread", "cake"))
    assert load_labeller(config) is not kept


def test_files_and_pictures_get_the_same_labels(config, pictures, tmp_path):
    pictures[0].save(tmp_path / "a.png")
    from_file, from_memory = label_images([tmp_path / "a.png", pictures[0]], config)
    assert from_file == from_memory
    assert from_file.model.startswith("tiny@")


def test_an_unreadable_file_is_an_error(config, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"a\.png"):
        label_images([tmp_path / "a.png"], config)
    with pytest.raises(InputError, match=r"b\.png"):
        label_images([tmp_path / "b.png"], config)


def test_label_images_of_nothing_returns_nothing(config):
    assert label_images([], config) == []


def test_half_precision_gives_nearly_the_same_scores(config, pictures):
    exact = label_images(pictures, config)
    coarse = label_images(pictures, config.model_copy(update={"precision": "bf16"}))
    for one, other in zip(exact, coarse, strict=True):
        assert other.score == pytest.approx(one.score, abs=0.05)


def test_model_name_includes_precision_other_than_float32(config):
    assert "+" not in model_name(config)
    assert (
        model_name(config.model_copy(update={"precision": "bf16"})) == f"{model_name(config)}+bf16"
    )


def test_pictures_of_any_mode_are_labelled(config):
    assert len(label_images([Image.new("LA", (9, 9)), Image.new("I;16", (9, 9))], config)) == 2
