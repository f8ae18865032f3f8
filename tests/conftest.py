import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import partial

import hypothesis
import pytest

from tests.small_crawl import cluster, labeller, pictures, recipe, site, undisturbed

__all__ = ["cluster", "labeller", "pictures", "recipe", "site", "undisturbed"]

# folders that tests allow are nobody's own
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="curate-tests-")

# a busy machine is no reason to fail, and another day no reason to try other examples
hypothesis.settings.register_profile("seeded", deadline=None, derandomize=True)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=10_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "seeded"))


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Send SIGINT to this process, with Python's own handler: xdist's workers ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield partial(signal.raise_signal, signal.SIGINT)
    signal.signal(signal.SIGINT, before)
