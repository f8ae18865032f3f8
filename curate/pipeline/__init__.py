"""Curation runs from plan to upkeep: execute, grow, remove, verify and rebuild."""

from curate.pipeline.growth import Growth, grow
from curate.pipeline.rebuilding import Rebuilt, rebuild
from curate.pipeline.removal import Removal, remove
from curate.pipeline.verification import Verification, verify
