"""Names of the stages: the one table of their order, folders and caches."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from curate.errors import RunError

__all__ = ["StageName", "tiles_path"]


class StageName(StrEnum):
    """A stage as users name it. Members stand in the order of the chain."""

    folder: str
    """Its folder in the run folder."""
    other_folders: tuple[str, ...]
    """Folders of its further files, each named after a shard."""
    cache: str | None
    """Folder of the cache of its per-image results, if it has one."""

    CANDIDATES = "candidates", "candidates"
    FETCH = "fetch", "fetched", ("images", "aside", "log")
    MEASURE = "measure", "measured", ("tiles",)
    LABEL = "label", "labelled", (), "embeddings"
    MATCH = "match", "matched", (), "keypoints"
    SELECT = "select", "select", ("ledger",)
    REPORT = "report", "report"

    def __new__(
        cls, value: str, folder: str, other_folders: tuple[str, ...] = (), cache: str | None = None
    ) -> Self:
        """Return the member with its facts."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.folder, member.other_folders, member.cache = folder, other_folders, cache
        return member

    @classmethod
    def parse(cls, name: str) -> StageName:
        """Return the stage that a user names.

        Raises:
            RunError: if there is none of that name.
        """
        for stage in cls:
            if stage == name:
                return stage
        raise RunError(f"no stage {name!r}: the stages are {', '.join(cls)}")

    @classmethod
    def of_folder(cls, folder: str) -> StageName | None:
        """Return the stage whose results stand in a folder of the run folder, if there is one."""
        return next((stage for stage in cls if stage.folder == folder), None)

    @property
    def position(self) -> int:
        """Place in the chain, from 0."""
        return list(StageName).index(self)

    @property
    def onwards(self) -> tuple[StageName, ...]:
        """This stage and the later ones."""
        return tuple(StageName)[self.position :]

    @property
    def following(self) -> StageName | None:
        """The next stage of the chain."""
        return next(iter(self.onwards[1:]), None)

    @property
    def input_folders(self) -> tuple[str, ...]:
        """Folders of all earlier stages, in order: they hold the columns that this stage sees."""
        return tuple(stage.folder for stage in tuple(StageName)[: self.position])


def tiles_path(shard: str) -> str:
    """Return the path of a shard's measured tiles in the run folder."""
    return f"{StageName.MEASURE.other_folders[0]}/{shard}.parquet"
