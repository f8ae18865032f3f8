"""Work for a decoder process: some that ends well, and kinds that don't."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from curate.errors import ImageError
from curate.images import decoder_process
from curate.images.decode import decode_small_pixels
from curate.stages.match.keypoints import decode_keypoints
from curate.stages.measure.image import Measures, measure_image


def length(data: bytes) -> int:
    """Return the number of bytes."""
    return len(data)


def spin(data: bytes) -> None:
    """Work without end."""
    while True:
        pass


def hang(data: bytes) -> None:
    """Wait without end."""
    while True:
        time.sleep(60)


def fill(data: bytes) -> None:
    """Take memory without end."""
    taken = []
    while True:
        taken.append(b"x" * 2**22)


def kill(data: bytes) -> None:
    """End the process as a fault of a library does."""
    os.kill(os.getpid(), signal.SIGSEGV)


def fail(data: bytes) -> None:
    """Raise an error that nobody foresaw."""
    raise KeyError("as a library may raise")


def measure_or_do(data: bytes, *args: Any, **options: Any) -> Measures:
    """Measure a picture, or do the work that the last bytes name."""
    work = {b"spin": spin, b"hang": hang, b"fill": fill, b"kill": kill, b"fail": fail}
    if data[-4:] in work:
        work[data[-4:]](data)
    return measure_image(data, *args, **options)


def find_keypoints_or_fail(data: bytes, *args: Any) -> Any:
    """Find a picture's keypoints, or fail."""
    if data == b"fail":
        fail(data)
    return decode_keypoints(data, *args)


def small_pixels_or_fail(data: bytes, side: int) -> Any:
    """Decode a picture, or fail."""
    if data.endswith(b"fail"):
        fail(data)
    return decode_small_pixels(data, side)


def process_number(data: bytes) -> int:
    """Return the number of the process."""
    return os.getpid()


def spin_a_while(data: bytes) -> None:
    """Work for a twentieth of a second."""
    start = time.process_time()
    while time.process_time() < start + 0.05:
        pass


@contextmanager
def tight(**limits: float) -> Iterator[None]:
    """Replace limits of a picture for a block."""
    with ExitStack() as stack:
        for name, value in limits.items():
            stack.enter_context(mock.patch.object(decoder_process, name, value))
        yield


def attempt(name: str, report: object) -> str:
    """Do work of a name within tight limits, and return how it ends."""
    work = {"spin": spin, "hang": hang, "fill": fill, "kill": kill, "length": length}
    limits = {"spin": {"SECONDS": 0.2}, "hang": {"HANGING": 0.2}, "fill": {"NBYTES": 2**27}}
    try:
        with tight(**limits.get(name, {})):
            decoder_process.run_in_decoder(work[name], b"")
    except ImageError as error:
        return error.reason.value
    return "done"
