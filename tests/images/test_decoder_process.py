"""Decoder processes: work on a picture ends within its budget, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import numpy as np
import psutil
import pytest

from curate.errors import ImageError, Reason
from curate.images import decoder_process
from curate.images.decode import decode_luma, decode_small_pixels
from curate.images.decoder_process import run_in_decoder
from tests.images import work
from tests.images.pictures import encode, rgb8


def refusal(function: Callable[[bytes], object]) -> ImageError:
    with pytest.raises(ImageError) as caught:
        run_in_decoder(function, b"")
    return caught.value


def test_result_is_that_of_the_function() -> None:
    data = encode(rgb8(), "PNG")
    assert np.array_equal(run_in_decoder(decode_luma, data), decode_luma(data))
    pixels_HWC = run_in_decoder(decode_small_pixels, data, side=20)
    assert np.array_equal(pixels_HWC, np.asarray(rgb8()))


def test_error_of_a_damaged_picture_arrives() -> None:
    with pytest.raises(ImageError) as caught:
        run_in_decoder(decode_luma, encode(rgb8(), "PNG")[:500])
    assert caught.value.reason is Reason.DECODE_FAILED


def test_one_process_serves_picture_after_picture() -> None:
    assert len({run_in_decoder(work.process_number, b"") for _ in range(3)}) == 1
    assert run_in_decoder(work.process_number, b"") != os.getpid()


@pytest.mark.parametrize(
    ("limit", "value", "function", "detail"),
    [
        ("SECONDS", 0.2, work.spin, "s of processor time"),
        ("HANGING", 0.2, work.hang, "hangs"),
        ("NBYTES", 2**27, work.fill, "GB of memory"),
    ],
)
def test_work_beyond_a_limit_is_too_costly(
    limit: str,
    value: float,
    function: Callable[[bytes], None],
    detail: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = run_in_decoder(work.process_number, b"")
    monkeypatch.setattr(decoder_process, limit, value)
    error = refusal(function)
    assert error.reason is Reason.TOO_COSTLY
    assert detail in error.args[1]
    assert not psutil.pid_exists(number)


def test_decoder_that_brings_its_process_down_is_a_crash() -> None:
    assert refusal(work.kill).reason is Reason.CRASHED


def test_process_ended_by_others_is_no_fault_of_the_picture() -> None:
    os.kill(run_in_decoder(work.process_number, b""), signal.SIGKILL)
    assert run_in_decoder(work.length, b"abc") == 3


def test_interrupt_while_a_decoder_works_ends_its_process(
    ctrl_c: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    number = run_in_decoder(work.process_number, b"")
    monkeypatch.setattr(decoder_process._Connection, "poll", lambda *_: ctrl_c())
    with pytest.raises(KeyboardInterrupt):
        run_in_decoder(work.hang, b"")
    assert not psutil.pid_exists(number)


def test_budget_grows_with_pixels_beyond_the_default_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_process, "SECONDS", 1e-3)
    data = encode(rgb8(), "PNG")
    with pytest.raises(ImageError):
        run_in_decoder(work.spin_a_while, data)
    monkeypatch.setattr(decoder_process, "_PIXELS", 1e-3)
    run_in_decoder(work.spin_a_while, data)
