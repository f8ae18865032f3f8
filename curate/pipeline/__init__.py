"""What a dataset needs once it is published: images are taken out, candidates added, and what is left is checked."""

from curate.pipeline.growth import Growth, grow
from curate.pipeline.rebuilding import Rebuilt, rebuild
from curate.pipeline.removal import Removal, remove
from curate.pipeline.verification import Verification, verify

__all__ = ["Growth", "Rebuilt", "Removal", "Verification", "grow", "rebuild", "remove", "verify"]
