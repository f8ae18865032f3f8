"""A run folder on any fsspec file system: in memory, and on a server that speaks S3."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

import curate
from curate.cli import app
from curate.engine import RunFolder
from curate.errors import RunError
from curate.manifest import find_faults, read_manifest
from tests.pipeline.digests import digests


def download(url: str, to: Path) -> Path:
    fs, root = fsspec.core.url_to_fs(url)
    fs.get(f"{root}/", f"{to}/", recursive=True)
    return to


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on an S3 server on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    bucket = f"bucket-{uuid.uuid4().hex}"  # the server's state outlives it in this process
    fs.mkdir(bucket)
    yield f"s3://{bucket}"
    fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


def test_run_in_memory_store_equals_local_run(
    undisturbed: Path, recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    url = f"memory://{tmp_path.name}/run"
    for _ in range(2):
        outcome = curate.run(recipe, [pictures], url, scheduler="serial")
    assert all(stage.resumed == stage.shards for stage in outcome.stages)
    assert digests(download(url, tmp_path / "copy")) == digests(undisturbed)
    assert not list(find_faults(read_manifest(f"{url}/manifest/train.parquet"), check_bytes=True))


def test_memory_store_refuses_workers(recipe: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="use --scheduler serial"):
        curate.run(recipe, [pictures], f"memory://{tmp_path.name}/run", scheduler="local")


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")  # botocore's own sessions
def test_run_on_s3_equals_local_run(
    undisturbed: Path, recipe: Path, pictures: Path, tmp_path: Path, s3: str
) -> None:
    """Workers write it, and one process resumes it."""
    pytest.importorskip("s3fs")
    for scheduler in ("local", "serial"):
        outcome = curate.run(recipe, [pictures], f"{s3}/run", scheduler=scheduler, workers=2)
    assert all(stage.resumed == stage.shards for stage in outcome.stages)
    assert digests(download(f"{s3}/run", tmp_path / "copy")) == digests(undisturbed)
    assert not list(
        find_faults(read_manifest(f"{s3}/run/manifest/train.parquet"), check_bytes=True)
    )


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_file_stamp_on_s3_changes_with_content(s3: str) -> None:
    folder, other = RunFolder(f"{s3}/run"), RunFolder(f"{s3}/run")
    stamps = []
    for data in (b"1", b"2", b"1"):
        other.write("a", data)
        stamps.append(folder.stamp("a"))
    assert stamps[0] == stamps[2] != stamps[1]
    assert None not in stamps
    assert folder.stamp("none") is None


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_run_in_missing_bucket_is_an_error(recipe: Path, pictures: Path, s3: str) -> None:
    with pytest.raises(
        RunError, match=f"can't write {s3}-none/run/recipe.yaml: .*bucket does not exist"
    ):
        curate.run(recipe, [pictures], f"{s3}-none/run", scheduler="serial")


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_run_without_credentials_is_an_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, s3: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv(
        "AWS_EC2_METADATA_DISABLED", "true"
    )  # where a machine in the cloud would find some
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    fsspec.filesystem("s3").clear_instance_cache()
    monkeypatch.setattr(
        "sys.argv", ["curate", "manifest", "show", f"{s3}/run/manifest/train.parquet"]
    )
    with pytest.raises(SystemExit, match="1"):
        app.main()
    printed = capsys.readouterr().err
    assert printed.startswith("curate: can't use the storage: Unable to locate credentials")
    assert printed.count("\n") == 1
