import os
import tempfile

import hypothesis

from tests.small_crawl import cluster, labeller, pictures, recipe, site, undisturbed

__all__ = ["cluster", "labeller", "pictures", "recipe", "site", "undisturbed"]

# folders that tests allow are nobody's own
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="curate-tests-")

# a busy machine is no reason to fail, and another day no reason to try other examples
hypothesis.settings.register_profile("seeded", deadline=None, derandomize=True)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=10_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "seeded"))
