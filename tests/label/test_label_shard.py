"""The label stage on a shard: one row for each, embeddings beside them, damage as a reason."""

import io
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.label.clip import load_labeller
from curate.label.shard import SCHEMA, LabelShard
from curate.recipe import Label


@pytest.fixture
def config(model_folder):
    return Label(model=f"local-dir:{model_folder}", batch_size=4)


def rows_of(shard, blobs):
    """Put bytes one after the other into a file of the shard, and name them in a table."""
    shard.files["images/part-00000.tar"] = b"".join(blobs)
    sizes = [len(blob) for blob in blobs]
    return pa.table(
        {
            "id": [f"{n:016x}" for n in range(len(blobs))],
            "tar": ["images/part-00000.tar"] * len(blobs),
            "offset": pa.array(np.cumsum([0, *sizes[:-1]])[: len(blobs)], pa.int64()),
            "nbytes": pa.array(sizes, pa.int64()),
        }
    )


def png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_rows_come_back_in_order_with_damage_as_a_reason(config, shard, pictures):
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
    expected = [label.category for label, _ in load_labeller(config).label(whole)]
    assert [c for c in table["category"].to_pylist() if c] == expected
    assert shard.advanced == len(pictures)


def test_embeddings_are_kept_as_float16_with_their_ids(config, shard, pictures):
    blobs = [png(picture) for picture in pictures]
    blobs[0] = b""
    rows = rows_of(shard, blobs)
    LabelShard(config)(rows, shard)
    kept = pq.read_table(io.BytesIO(shard.files["embeddings/part-00000.parquet"]))
    assert kept.schema.field("embedding").type == pa.list_(pa.float16(), 32)
    assert kept["id"].to_pylist() == rows["id"].to_pylist()[1:]
    vectors = np.stack(kept["embedding"].to_numpy()).astype(np.float32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)
    assert kept.schema.metadata[b"label_model"].startswith(b"tiny@")


def test_the_same_shard_gives_the_same_bytes(config, shard, pictures):
    rows = rows_of(shard, [png(picture) for picture in pictures])
    stage = pickle.loads(pickle.dumps(LabelShard(config)))
    seen = [(LabelShard(config)(rows, shard), dict(shard.files)), (stage(rows, shard), dict(shard.files))]
    assert seen[0] == seen[1]


@pytest.mark.parametrize("blobs", [[], [b"damaged"]])
def test_a_shard_without_pictures_is_no_special_case(config, shard, blobs):
    table = LabelShard(config)(rows_of(shard, blobs), shard)
    assert table.num_rows == len(blobs)
    assert pq.read_table(io.BytesIO(shard.files["embeddings/part-00000.parquet"])).num_rows == 0


def test_settings_name_what_labels_depend_on_and_no_place(config, model_folder, tmp_path):
    settings = LabelShard(config).settings
    assert str(model_folder) not in str(settings)
    assert LabelShard(config.model_copy(update={"batch_size": 9, "device": "cpu"})).settings == settings
    (taxonomy := tmp_path / "t.yaml").write_text("A: {templates: ['{}'], categories: {C: [a], D: [b]}}")
    assert LabelShard(config.model_copy(update={"taxonomy": str(taxonomy)})).settings != settings
