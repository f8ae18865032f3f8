"""Batches that go on when one of their items fails: the one answer to errors of any type."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from curate.errors import CurateError

__all__ = ["describe_failure", "is_out_of_memory", "isolated"]

_HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Errors of a storage that every further item would meet too."""

_NO_MEMORY = ("defaultcpuallocator", "bad_alloc", "can't allocate memory", "out of memory")
"""Parts of messages, in lower case, by which libraries in C++ report that memory ran out."""


@contextmanager
def isolated(report: Callable[[str], None]) -> Iterator[None]:
    """Run a block for one item of many; an error of any type is reported, and ends nothing else.

    Errors of Rust libraries aren't `Exception`s, so everything is caught but the wish to stop, and
    a storage on which no further item can be written either.

    Args:
        report: called with a sentence about the error.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
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
    return f"unexpected {type(error).__name__}: {message[:300]}"


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
