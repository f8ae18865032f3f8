from __future__ import annotations

import errno
import struct

import pytest

from curate.batch import describe_failure, is_out_of_memory, isolated
from curate.errors import ImageError, Reason, RestoreError, RunError


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
    assert reports == [line]


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
