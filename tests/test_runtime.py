"""Device of a process, log levels of other packages, and unexpected errors."""

from __future__ import annotations

import errno
import logging
import re
import struct

import pytest
import torch

from curate.errors import ImageError, LabelError, Reason, RestoreError, RunError
from curate.runtime import (
    contain_errors,
    describe_failure,
    is_out_of_memory,
    isolated,
    log_levels,
    pick_device,
)


@pytest.mark.parametrize("has_gpu", [True, False])
def test_auto_is_a_gpu_when_there_is_one(monkeypatch: pytest.MonkeyPatch, has_gpu: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert pick_device().type == ("cuda" if has_gpu else "cpu")
    assert pick_device("cpu").type == "cpu"


def test_missing_device_raises_the_callers_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LabelError, match=r"^label\.device is cuda, but .* no GPU: use auto or cpu"):
        pick_device("cuda", setting="label.device", error=LabelError)
    with pytest.raises(RestoreError, match=r"no device 'nonsense' here \(.*\): use auto or cpu"):
        pick_device("nonsense")


def test_log_levels_are_restored_after_an_error() -> None:
    logger = logging.getLogger("curate.tests.noisy")
    logger.setLevel(logging.INFO)
    with pytest.raises(ValueError, match="failed"), log_levels({logger.name: logging.CRITICAL}):
        assert logger.level == logging.CRITICAL
        raise ValueError("failed")
    assert logger.level == logging.INFO


class Panic(BaseException):
    """The kind of error that libraries in Rust raise."""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RestoreError("the tile is too small"), "the tile is too small"),
        (ImageError(Reason.DECODE_FAILED, "cut off"), "decode_failed: cut off"),
        (struct.error("unpack requires\n4 bytes"), "unexpected error: unpack requires 4 bytes"),
        (KeyError(), "unexpected KeyError: no message"),
        (RecursionError("too deep"), "unexpected RecursionError: too deep"),
        (Panic("index out of bounds"), "unexpected Panic: index out of bounds"),
        (MemoryError(), "it needs more memory than there is"),
        (PermissionError(errno.EACCES, "Permission denied"), "can't be read: Permission denied"),
    ],
)
def test_isolated_error_of_any_type_is_reported_in_a_line(error: BaseException, line: str) -> None:
    reports: list[str] = []
    with isolated(reports.append):
        raise error
    # with its place, where nobody foresaw it
    place = r" \(tests/test_runtime\.py:\d+\)" if line.startswith("unexpected") else ""
    assert re.fullmatch(re.escape(line) + place, reports[0])


@pytest.mark.parametrize("wish", [KeyboardInterrupt, SystemExit])
def test_isolated_wish_to_stop_goes_on_up(wish: type[BaseException]) -> None:
    with pytest.raises(wish), isolated(pytest.fail):
        raise wish


def test_isolated_full_disk_ends_the_batch() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"), isolated(pytest.fail):
        raise full
    with pytest.raises(RunError, match="make room"), isolated(pytest.fail):
        raise RunError("can't write out/a.png; make room there") from full


def test_isolated_block_without_error_reports_nothing() -> None:
    with isolated(pytest.fail):
        pass


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("alloc_cpu.cpp: DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("std::bad_alloc"), True),
        (MemoryError("Unable to allocate 9 TiB for an array"), True),
        (RuntimeError("sizes of tensors must match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_known_by_type_or_message(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
    assert (describe_failure(error) == "it needs more memory than there is") is expected


@pytest.mark.parametrize("error", [struct.error("short"), Panic("index out of bounds")])
def test_contained_error_of_any_type_is_internal(error: BaseException) -> None:
    with pytest.raises(ImageError) as caught, contain_errors():
        raise error
    assert caught.value.reason is Reason.INTERNAL_ERROR


@pytest.mark.parametrize(
    "error",
    [MemoryError(), KeyboardInterrupt(), RunError("full"), OSError(errno.ENOSPC, "No space")],
)
def test_contained_error_of_this_machine_goes_on_up(error: BaseException) -> None:
    with pytest.raises(type(error)), contain_errors():
        raise error
