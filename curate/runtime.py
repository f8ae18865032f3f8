"""Runtime of a process: PyTorch's device, log levels of other packages, unexpected errors."""

from __future__ import annotations

import errno
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from curate.errors import CurateError, ImageError, Reason, RestoreError

if TYPE_CHECKING:
    import torch

__all__ = [
    "contain_errors",
    "describe_failure",
    "is_out_of_memory",
    "isolated",
    "log_levels",
    "pick_device",
]

_STOPS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""Wishes to stop. Errors of Rust libraries are no `Exception`s either, but errors."""

_HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Errors of a storage that every further item would meet too."""

_NO_MEMORY = ("defaultcpuallocator", "bad_alloc", "can't allocate memory", "out of memory")
"""Parts of messages, in lower case, by which libraries in C++ report that memory ran out."""


@contextmanager
def contain_errors() -> Iterator[None]:
    """Turn any unexpected error about one image into its ImageError, so that no other row suffers.

    Errors of the run or of this machine pass.
    """
    try:
        yield
    except (CurateError, MemoryError, *_STOPS):
        raise
    except BaseException as error:
        if _is_hopeless(error):
            raise
        detail = f"{type(error).__name__}: {error} ({_place(error)})"
        raise ImageError(Reason.INTERNAL_ERROR, detail) from error


@contextmanager
def isolated(report: Callable[[str], None]) -> Iterator[None]:
    """Run a block for one item of many; an error of any type is reported, and ends nothing else.

    Wishes to stop pass, and so does a storage on which no further item can be written either.

    Args:
        report: called with a sentence about the error.
    """
    try:
        yield
    except _STOPS:
        raise
    except BaseException as error:
        if _is_hopeless(error):
            raise
        report(describe_failure(error))


def describe_failure(error: BaseException) -> str:
    """Return a line about any error, for the report of a batch."""
    if isinstance(error, CurateError):
        return str(error)
    if is_out_of_memory(error):
        return "it needs more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return f"can't be read: {error.strerror}"
    message = " ".join(str(error).split()) or "no message"
    return f"unexpected {type(error).__name__}: {message[:300]} ({_place(error)})"


def _place(error: BaseException) -> str:
    """Return where an error arose: our last line on the way there, and the last line of all."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    ours = [frame for frame in frames if "curate" in Path(frame.filename).parts]
    last = [*ours[-1:], *frames[-1:]]
    # no more of the path, which may name a user
    places = ["/".join(Path(frame.filename).parts[-2:]) + f":{frame.lineno}" for frame in last]
    return " > ".join(dict.fromkeys(places))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of Python, NumPy or PyTorch means that memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(part in message for part in _NO_MEMORY)


def _is_hopeless(error: BaseException) -> bool:
    """Return whether the storage is full or read-only, by the error or its cause."""
    causes = (error, error.__cause__)
    return any(isinstance(cause, OSError) and cause.errno in _HOPELESS for cause in causes)


@contextmanager
def log_levels(levels: Mapping[str, int]) -> Iterator[None]:
    """Set the levels of loggers, given by name, while a block lasts."""
    loggers = {logging.getLogger(name): level for name, level in levels.items()}
    before = {logger: logger.level for logger in loggers}
    try:
        for logger, level in loggers.items():
            logger.setLevel(level)
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


def pick_device(
    name: str = "auto", *, setting: str = "device", error: type[CurateError] = RestoreError
) -> torch.device:
    """Return the device of that name; `auto` is a GPU when there is one, else the CPU.

    Imports PyTorch when it is called.

    Args:
        name: `auto`, or PyTorch's name of a device, such as `cpu` or `cuda:1`.
        setting: name of the user's setting, for the message.
        error: class of the error.

    Raises:
        CurateError: an `error`, if this machine has no such device.
    """
    import torch

    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise error(f"{setting} is cuda, but this machine shows PyTorch no GPU: use auto or cpu")
    if name in ("auto", "cuda"):
        # not tried: that would start CUDA in a process that may never use it
        return torch.device("cuda" if has_gpu else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as failure:  # AssertionError: a PyTorch without CUDA
        reason = str(failure).splitlines()[0]
        raise error(f"no device {name!r} here ({reason}): use auto or cpu") from failure
