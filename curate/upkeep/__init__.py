"""What a dataset needs once it is published: images are taken out, candidates added, and what is left is checked."""

from curate.upkeep.growth import Growth, grow
from curate.upkeep.rebuilding import Rebuilt, rebuild
from curate.upkeep.removal import Removal, remove
from curate.upkeep.verification import Verification, verify

__all__ = ["Growth", "Rebuilt", "Removal", "Verification", "grow", "rebuild", "remove", "verify"]
