"""What a dataset needs once it is published: images are taken out, candidates added, and what is left is checked."""

from curate.upkeep.rebuilding import Rebuilt, rebuild
from curate.upkeep.removal import Removal, remove
from curate.upkeep.verification import Verification, verify

__all__ = ["Rebuilt", "Removal", "Verification", "rebuild", "remove", "verify"]
