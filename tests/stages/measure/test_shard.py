import hashlib
import io
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curate.errors import Reason
from curate.images import decoder_process
from curate.manifest import MANIFEST
from curate.recipe import Measure
from curate.stages.measure import measure_image
from curate.stages.measure import shard as measure_shard
from curate.stages.measure.shard import MeasureShard
from tests.images.work import measure_or_do


def png(seed: int, side: int = 30) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (side, side + seed, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


class Files:
    """Run folder of two tars, with rows of each in turn, as a shard function needs it."""

    name, discard = "part-00003", False

    def __init__(self, *bodies: bytes) -> None:
        self.folder, self.logs = self, dict[str, bytes]()
        self.tars = {"images/a.tar": b"..", "images/b.tar": b"...."}
        self.advanced: list[str | None] = []
        places = []
        for number, body in enumerate(bodies):
            tar = sorted(self.tars)[number % 2]
            place = {"id": f"{number:016x}", "tar": tar, "offset": len(self.tars[tar])}
            digest = hashlib.sha256(body).hexdigest()
            places.append(place | {"nbytes": len(body), "sha256": digest})
            self.tars[tar] += body
        texts = [(name, pa.string()) for name in ("id", "tar", "sha256")]
        schema = pa.schema([*texts, ("offset", pa.int64()), ("nbytes", pa.int64())])
        self.rows = pa.Table.from_pylist(places, schema)

    def open(self, path: str) -> io.BytesIO:
        return io.BytesIO(self.tars[path])

    @contextmanager
    def create(self, path: str, *, volatile: bool) -> Iterator[io.BytesIO]:
        assert volatile
        sink = io.BytesIO()
        yield sink
        self.logs[path] = sink.getvalue()

    def remove(self, path: str) -> None:
        self.logs.pop(path, None)

    def advance(self, rows: int = 1, reason: str | None = None) -> None:
        self.advanced.append(reason)


def test_every_row_is_returned_in_order_with_measures_or_reason() -> None:
    bodies = [png(0), b"<html>", png(1), png(2)[:300], png(3)]
    files = Files(*bodies)
    out = MeasureShard(Measure())(files.rows, files)
    assert out["id"].to_pylist() == files.rows["id"].to_pylist()
    assert out["reason"].to_pylist() == [
        None,
        Reason.FORMAT_UNSUPPORTED,
        None,
        Reason.DECODE_FAILED,
        None,
    ]
    assert out["width"].to_pylist() == [30, None, 31, None, 33]
    assert out["phash"][4].as_py() == measure_image(bodies[4]).phash
    assert files.advanced == out["reason"].to_pylist()


@pytest.mark.parametrize(
    ("limit", "reason", "detail"),
    [
        ({}, "internal_error", r"KeyError: 'as a library may raise' \(.*images/work.py:\d+\)"),
        ({"SECONDS": 0.2}, "too_costly", "it takes over 0 s of processor time"),
        ({"HANGING": 0.2}, "too_costly", "its decoder hangs"),
        ({"NBYTES": 2**27}, "too_costly", "it takes over 0.1 GB of memory"),
    ],
)
def test_image_that_fails_or_takes_too_much_leaves_the_others(
    limit: dict[str, float], reason: str, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = {"SECONDS": b"spin", "HANGING": b"hang", "NBYTES": b"fill"}
    for name, value in limit.items():
        monkeypatch.setattr(decoder_process, name, value)
    bad = next((work[name] for name in limit), b"fail")
    monkeypatch.setattr(measure_shard, "measure_image", measure_or_do)
    files = Files(png(0), bad, png(2))
    out = MeasureShard(Measure(cutoffs=()))(files.rows, files)
    assert out["reason"].to_pylist() == [None, reason, None]
    (row,) = pq.read_table(io.BytesIO(files.logs["log/measure-00003.parquet"])).to_pylist()
    assert (row["id"], row["reason"]) == (f"{1:016x}", reason)
    assert re.fullmatch(detail, row["detail"])
    # an image that is mended, or not there any more, leaves no log of it
    MeasureShard(Measure(cutoffs=()))(files.rows.slice(0, 1), files)
    assert files.logs == {}


def test_columns_are_those_of_the_manifest() -> None:
    types = {column.name: column.type for column in MANIFEST}
    files = Files(png(0))
    out = MeasureShard(Measure())(files.rows, files)
    added = out.schema.names[2:]
    assert out.schema.names[:2] == ["id", "reason"]
    assert {"width", "height", "bpp", "hf_ratio", "hf_ratio_032", "phash"} <= set(added)
    for name in added:
        assert out.schema.field(name).type == types[name]


def test_further_cutoffs_become_columns_of_their_own() -> None:
    files = Files(png(0), b"no image")
    function = MeasureShard(Measure(cutoffs=(0.25, 0.7)))
    out = function(files.rows, files)
    assert out.schema.names[-2:] == ["hf_ratio_025", "hf_ratio_07"]
    assert out["hf_ratio_025"].to_pylist() == [
        pytest.approx(measure_image(png(0), [0.25]).cutoffs[0]),
        None,
    ]
    assert (
        out["hf_ratio_025"][0].as_py() > out["hf_ratio"][0].as_py() > out["hf_ratio_07"][0].as_py()
    )


def test_the_recipe_limits_pixels() -> None:
    files = Files(png(0, side=30), png(0, side=40))
    out = MeasureShard(Measure(max_pixels=1000))(files.rows, files)
    assert out["reason"].to_pylist() == [None, Reason.TOO_MANY_PIXELS]


def test_no_rows_give_an_empty_table() -> None:
    files = Files()
    out = MeasureShard(Measure())(files.rows, files)
    assert (len(out), out.schema.names[:2]) == (0, ["id", "reason"])


def test_shard_function_survives_pickling() -> None:
    function = MeasureShard(Measure(cutoffs=(0.25,)))
    assert function.schema  # cached before it travels
    assert pickle.loads(pickle.dumps(function)) == function
