"""Labels by a CLIP model: what it computes, and that nothing but image, model and prompts changes it."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from scipy.special import softmax

from curate.errors import ImageError, InputError
from curate.label.clip import label_images, load_labeller
from curate.recipe import Label


@pytest.fixture
def config(model_folder, tmp_path):
    taxonomy = tmp_path / "taxonomy.yaml"
    taxonomy.write_text("""
        Outdoor: {templates: ["a photo of {}.", "{} outside"], categories: {Animals: [a cat, a dog], People: [a man]}}
        Indoor: {templates: ["{}"], categories: {Food: [soup, bread, fruit]}}
    """)
    return Label(model=f"local-dir:{model_folder}", taxonomy=str(taxonomy), batch_size=4)


def test_agrees_with_open_clip_by_hand(config, model_folder, pictures):
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{model_folder}")
    tokenize = open_clip.get_tokenizer(f"local-dir:{model_folder}")
    prompts = [
        ["a photo of a cat.", "a cat outside", "a photo of a dog.", "a dog outside"],
        ["a photo of a man.", "a man outside"],
        ["soup", "bread", "fruit"],
    ]
    with torch.inference_mode():
        means = [model.eval().encode_text(tokenize(texts), normalize=True).mean(0) for texts in prompts]
        classes = torch.nn.functional.normalize(torch.stack(means), dim=-1).numpy()
        images = torch.stack([prepare(picture) for picture in pictures])
        embeddings = model.encode_image(images, normalize=True).numpy()
    shares = softmax(model.logit_scale.exp().item() * embeddings @ classes.T, axis=1)
    labeller = load_labeller(config)
    for (result, embedding), share, reference in zip(labeller.label(pictures), shares, embeddings, strict=True):
        assert result.category == ("Animals", "People", "Food")[share.argmax()]
        assert result.broad == ("Outdoor", "Outdoor", "Indoor")[share.argmax()]
        assert result.score == pytest.approx(share.max(), abs=1e-4)
        assert result.margin == pytest.approx(np.diff(np.sort(share))[-1], abs=2e-4)
        assert embedding.dtype == np.float16
        assert np.allclose(embedding, reference, atol=1e-3)


def test_company_changes_nothing(config, pictures):
    labeller = load_labeller(config)
    together = list(labeller.label(pictures))
    alone = [pair for picture in pictures for pair in labeller.label([picture])]
    for (label, embedding), (label_alone, embedding_alone) in zip(together, alone, strict=True):
        assert (label.category, label.score) == (label_alone.category, pytest.approx(label_alone.score, abs=2e-4))
        assert np.allclose(embedding, embedding_alone, atol=1e-3)


def test_threads_change_nothing_and_stay_as_they_were(config, pictures):
    seen = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            seen.append([(label, vector.tobytes()) for label, vector in load_labeller(config).label(pictures)])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert seen[0] == seen[1]


def test_batch_size_changes_no_label(config, pictures):
    assert label_images(pictures, config.model_copy(update={"batch_size": 3})) == label_images(pictures, config)


def test_a_labeller_is_kept_until_its_settings_or_prompts_change(config):
    kept = load_labeller(config)
    assert load_labeller(config) is kept
    taxonomy = Path(config.taxonomy)
    taxonomy.write_text(taxonomy.read_text().replace("bread", "cake"))
    assert load_labeller(config) is not kept


def test_files_and_pictures_are_labelled_alike(config, pictures, tmp_path):
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


def test_no_pictures_no_labels(config):
    assert label_images([], config) == []


def test_half_precision_gives_nearly_the_same_scores(config, pictures):
    exact = label_images(pictures, config)
    coarse = label_images(pictures, config.model_copy(update={"precision": "bf16"}))
    for one, other in zip(exact, coarse, strict=True):
        assert other.score == pytest.approx(one.score, abs=0.05)


def test_any_mode_is_taken(config):
    assert len(label_images([Image.new("LA", (9, 9)), Image.new("I;16", (9, 9))], config)) == 2
