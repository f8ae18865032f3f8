"""Runtime of a process: PyTorch's device, log levels of other packages, unexpected errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from curate.errors import CurateError, ImageError, Reason, RestoreError

if TYPE_CHECKING:
    import torch

__all__ = ["contain_errors", "log_levels", "pick_device"]


@contextmanager
def contain_errors() -> Iterator[None]:
    """Turn any unexpected exception about one image into its ImageError.

    So no other row suffers. Errors of the run or of this machine pass.
    """
    try:
        yield
    except (CurateError, MemoryError):
        raise
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        raise ImageError(Reason.INTERNAL_ERROR, detail) from error


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
