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

from curate.recipe import Label
from curate.stages.label.clip import Labeller, label_images
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
    assert kept.schema.field("embedding").type == pa.list_(pa.float32(), 32)
    assert kept["sha256"].to_pylist() == rows["sha256"].to_pylist()[1:]
    vectors = np.stack(kept["embedding"].to_numpy())
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
