import os

import hypothesis

from tests.small_crawl import cluster, labeller, pictures, recipe, site, undisturbed

__all__ = ["cluster", "labeller", "pictures", "recipe", "site", "undisturbed"]

# a busy machine is no reason to fail, and another day no reason to try other examples
hypothesis.settings.register_profile("seeded", deadline=None, derandomize=True)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=10_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "seeded"))
