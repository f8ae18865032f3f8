"""The label stage on a shard: one row for each, embeddings beside them, damage as a reason."""

import hashlib
import io
import json
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.special import softmax

from curate.errors import LabelError
from curate.recipe import Label
from curate.stages.label.clip import Labeller, label_images, load_labeller
from curate.stages.label.shard import SCHEMA, LabelShard

EMBEDDINGS = "embeddings/part-00000.parquet"


@pytest.fixture
def config(model_folder):
    return Label(model=f"local-dir:{model_folder}", batch_size=4)


def rows_of(shard, blobs):
    """Write a tar of these bytes into the shard, and return its rows."""
    shard.files["images/part-00000.tar"] = b"".join(blobs)
    sizes = [len(blob) for blob in blobs]
    digests = [hashlib.sha256(blob).hexdigest() for blob in blobs]
    return pa.table(
        {
            "id": [f"{n:016x}" for n in range(len(blobs))],
            "sha256": digests,
            "tar": ["images/part-00000.tar"] * len(blobs),
            "offset": pa.array(np.cumsum([0, *sizes[:-1]])[: len(blobs)], pa.int64()),
            "nbytes": pa.array(sizes, pa.int64()),
        }
    )


def png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_rows_are_returned_in_order_with_damage_as_a_reason(config, shard, pictures):
    blobs = [png(picture) for picture in pictures]
    blobs[2] = blobs[2][:200]
    rows = rows_of(shard, blobs)
    table = LabelShard(config)(rows, shard)
    assert table.schema == pa.schema([("id", pa.string()), ("reason", pa.string()), *SCHEMA])
    assert table["id"].to_pylist() == rows["id"].to_pylist()
    assert [i for i, reason in enumerate(table["reason"].to_pylist()) if reason] == [2]
    assert table["reason"][2].as_py() == "decode_failed"
    assert table["category"][2].as_py() is None
    whole = [p for i, p in enumerate(pictures) if i != 2]
    expected = [label.category for label in label_images(whole, config)]
    assert [c for c in table["category"].to_pylist() if c] == expected
    assert shard.advanced == len(pictures)


def test_shard_without_rows_loads_no_labeller(config, shard, monkeypatch):
    monkeypatch.setattr("curate.stages.label.clip.load_labeller", lambda config: pytest.fail())
    table = LabelShard(config)(rows_of(shard, []), shard)
    assert table.schema == pa.schema([("id", pa.string()), ("reason", pa.string()), *SCHEMA])
    assert len(table) == 0


def test_embeddings_are_cached_by_sha256(config, shard, pictures):
    blobs = [png(picture) for picture in pictures]
    blobs[0] = b""
    rows = rows_of(shard, blobs)
    LabelShard(config)(rows, shard)
    kept = pq.read_table(io.BytesIO(shard.files[EMBEDDINGS]))
    assert kept.schema.field("embedding").type == pa.binary(32 * 4)
    assert kept["sha256"].to_pylist() == rows["sha256"].to_pylist()[1:]
    vectors = np.stack([np.frombuffer(vector, "<f4") for vector in kept["embedding"].to_pylist()])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert kept.schema.metadata[b"label_model"].startswith(b"tiny@")
    assert shard.volatile == {
        EMBEDDINGS,
        "log/label-00000.parquet",
    }  # or they would be removed with the labels


def test_embeddings_are_not_cached_if_disabled(config, shard, pictures):
    rows = rows_of(shard, [png(picture) for picture in pictures])
    kept = LabelShard(config)(rows, shard)
    del shard.files[EMBEDDINGS]
    assert LabelShard(config.model_copy(update={"keep_embeddings": False}))(rows, shard) == kept
    assert EMBEDDINGS not in shard.files


@pytest.fixture
def forward_passes(monkeypatch):
    """Number of pictures in each forward pass."""
    passes = []
    encode = Labeller._encode
    monkeypatch.setattr(
        Labeller, "_encode", lambda self, images: passes.append(len(images)) or encode(self, images)
    )
    return passes


def other_prompts(config, tmp_path):
    (file := tmp_path / "other.yaml").write_text(
        "A: {templates: ['{}'], categories: {C: [a dog, a bear], D: [soup], E: [bread]}}"
    )
    return config.model_copy(update={"taxonomy": str(file)})


def test_other_prompts_use_cached_embeddings(config, shard, pictures, tmp_path, forward_passes):
    rows = rows_of(shard, [png(picture) for picture in pictures])
    config_2 = other_prompts(config, tmp_path)
    fresh = LabelShard(config_2)(rows, shard)
    shard.files.pop(EMBEDDINGS)
    LabelShard(config)(rows, shard)
    forward_passes.clear()
    tar = shard.files.pop("images/part-00000.tar")
    assert LabelShard(config_2)(rows, shard) == fresh  # to the byte, and without the images
    assert sum(forward_passes) == 0
    shard.files["images/part-00000.tar"] = tar


def test_only_new_images_are_embedded(config, shard, pictures, forward_passes):
    blobs = [png(picture) for picture in pictures]
    LabelShard(config)(rows_of(shard, blobs[:5]), shard)
    forward_passes.clear()
    blobs[1] = png(pictures[1].rotate(90))
    rows = rows_of(shard, blobs)
    some_kept = LabelShard(config)(rows, shard)
    assert sum(forward_passes) == 3
    file = shard.files.pop(EMBEDDINGS)
    assert LabelShard(config)(rows, shard) == some_kept
    assert shard.files[EMBEDDINGS] == file


def test_cache_drops_images_that_left_the_shard(config, shard, pictures, forward_passes):
    blobs = [png(picture) for picture in pictures]
    LabelShard(config)(rows_of(shard, blobs), shard)
    forward_passes.clear()
    LabelShard(config)(rows_of(shard, blobs[2:]), shard)
    assert sum(forward_passes) == 0
    assert pq.read_table(io.BytesIO(shard.files[EMBEDDINGS])).num_rows == len(blobs) - 2


@pytest.mark.parametrize(
    "change", ["weights", "preparation", "arithmetic", "damage", "cut", "foreign"]
)
def test_embeddings_of_another_model_or_damaged_ones_are_ignored(
    config, shard, pictures, tmp_path, forward_passes, change
):
    rows = rows_of(shard, [png(picture) for picture in pictures])
    LabelShard(config)(rows, shard)
    shutil.copytree(config.model.removeprefix("local-dir:"), folder := tmp_path / "tiny")
    other = config.model_copy(update={"model": f"local-dir:{folder}"})
    kept = shard.files[EMBEDDINGS]
    match change:
        case "weights":
            torch.manual_seed(1)
            tensors = load_file(file := folder / "open_clip_model.safetensors")
            save_file(tensors | {"visual.proj": torch.randn_like(tensors["visual.proj"])}, file)
        case "preparation":
            text = json.loads((file := folder / "open_clip_config.json").read_text())
            file.write_text(
                json.dumps(text | {"preprocess_cfg": {"size": 32, "mean": [0.2, 0.2, 0.2]}})
            )
        case "arithmetic":
            other = other.model_copy(update={"precision": "bf16"})
        case "damage":
            place = len(kept) // 3
            shard.files[EMBEDDINGS] = kept[:place] + bytes([kept[place] ^ 1]) + kept[place + 1 :]
        case "cut":
            shard.files[EMBEDDINGS] = kept[:-100]
        case "foreign":
            pq.write_table(pa.table({"id": ["a"], "embedding": [[1.0]]}), sink := io.BytesIO())
            shard.files[EMBEDDINGS] = sink.getvalue()
    forward_passes.clear()
    again = LabelShard(other)(rows, shard)
    assert sum(forward_passes) == len(pictures)
    del shard.files[EMBEDDINGS]
    assert LabelShard(other)(rows, shard) == again


def test_the_same_shard_gives_the_same_bytes(config, shard, pictures):
    rows = rows_of(shard, [png(picture) for picture in pictures])
    stage = pickle.loads(pickle.dumps(LabelShard(config)))
    seen = []
    for function in (LabelShard(config), stage):
        shard.files.pop(EMBEDDINGS, None)
        seen.append((function(rows, shard), dict(shard.files)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("blobs", [[], [b"damaged"]])
def test_shard_without_pictures_gets_reasons_only(config, shard, blobs):
    shard.files[EMBEDDINGS] = b"damaged"
    for _ in range(2):  # the second time with a cache that has no rows
        table = LabelShard(config)(rows_of(shard, blobs), shard)
        assert table["reason"].to_pylist() == ["format_unsupported"] * len(blobs)


def test_settings_depend_on_model_and_prompts_but_no_path(config, model_folder, tmp_path):
    settings = LabelShard(config).settings
    assert str(model_folder) not in str(settings)
    assert (
        LabelShard(
            config.model_copy(update={"batch_size": 9, "device": "cpu", "keep_embeddings": False})
        ).settings
        == settings
    )
    assert LabelShard(config.model_copy(update={"others_margin": 0.1})).settings != settings
    assert LabelShard(config.model_copy(update={"precision": "bf16"})).settings != settings
    (taxonomy := tmp_path / "t.yaml").write_text(
        "A: {templates: ['{}'], categories: {C: [a], D: [b]}}"
    )
    assert LabelShard(config.model_copy(update={"taxonomy": str(taxonomy)})).settings != settings


PAIRS = {"sharp": {"positive": "a sharp photo", "negative": ["a blurry photo", "fog"]}}


def test_scores_are_a_softmax_over_both_sides(config, shard, pictures):
    scored = Label.model_validate(config.model_dump() | {"scores": PAIRS})
    rows = rows_of(shard, [png(picture) for picture in pictures])
    table = LabelShard(scored)(rows, shard)
    labeller = load_labeller(scored)
    vectors = np.stack(list(labeller.embed(pictures)))
    sides = [labeller.embed_text(["a sharp photo"]), labeller.embed_text(["a blurry photo", "fog"])]
    logits = labeller._scale * vectors @ np.array(sides).T
    expected = softmax(logits, axis=1)[:, 0]
    assert table.schema.field("score_sharp").type == pa.float32()
    assert np.allclose(table["score_sharp"].to_numpy(), expected, atol=1e-4)


def test_rows_without_an_embedding_have_no_score(config, shard, pictures):
    scored = Label.model_validate(config.model_dump() | {"scores": PAIRS})
    rows = rows_of(shard, [png(pictures[0]), b"damaged"])
    assert LabelShard(scored)(rows, shard)["score_sharp"].is_null().to_pylist() == [False, True]


def test_changed_pairs_and_heads_use_cached_embeddings(
    config, shard, pictures, tmp_path, forward_passes
):
    save_file({"weight": torch.ones(1, 32)}, head := tmp_path / "head.safetensors")
    rows = rows_of(shard, [png(picture) for picture in pictures])
    LabelShard(config)(rows, shard)
    forward_passes.clear()
    more = {"scores": PAIRS, "heads": {"sum": str(head)}}
    table = LabelShard(Label.model_validate(config.model_dump() | more))(rows, shard)
    assert not forward_passes
    cached = pq.read_table(io.BytesIO(shard.files[EMBEDDINGS]))["embedding"].to_numpy()
    vectors = np.stack([np.frombuffer(vector, "<f4") for vector in cached])
    assert np.allclose(table["score_sum"].to_numpy(), vectors.sum(axis=1), atol=1e-4)


def test_settings_depend_on_pairs_and_bytes_of_heads(config, tmp_path):
    save_file({"weight": torch.ones(1, 32)}, head := tmp_path / "head.safetensors")
    seen = [LabelShard(config).settings]
    for change in ({"scores": PAIRS}, {"scores": "shipped"}, {"heads": {"sum": str(head)}}):
        seen.append(LabelShard(Label.model_validate(config.model_dump() | change)).settings)
        assert str(tmp_path) not in str(seen[-1])
    save_file({"weight": torch.zeros(1, 32)}, head)
    seen.append(LabelShard(Label.model_validate(config.model_dump() | change)).settings)
    assert all(seen.count(settings) == 1 for settings in seen)


def test_head_for_another_model_is_refused_by_the_labeller(config, shard, pictures, tmp_path):
    save_file({"weight": torch.ones(1, 768)}, head := tmp_path / "head.safetensors")
    other = Label.model_validate(config.model_dump() | {"heads": {"sum": str(head)}})
    with pytest.raises(LabelError, match=r"takes embeddings of 768, and those of tiny@\w+ have 32"):
        LabelShard(other)(rows_of(shard, [png(pictures[0])]), shard)
