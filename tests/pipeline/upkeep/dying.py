"""Death at a chosen moment, as far as files can tell."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from curate.storage import atomic


class Killed(BaseException):
    """Nobody catches it."""


@contextmanager
def killed_after(count: int) -> Iterator[None]:
    """Ends what is under way when so many more files have been written."""
    create, left = atomic.create, iter(range(count))

    def create_or_die(url: str) -> AbstractContextManager[atomic.Sink]:
        if next(left, None) is None:
            raise Killed
        return create(url)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(atomic, "create", create_or_die)
        yield
