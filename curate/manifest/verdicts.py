"""Verdicts of people on images: small Parquet files in a folder of their own, the sidecar.

A run has its sidecar in `RUN/verdicts/`; beside a manifest `train.parquet` or a folder `pictures`
it is `train.verdicts/` or `pictures.verdicts/`. Each session writes files of its own, so that
sessions never write to one file, and a file copied from another sidecar counts too.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import Reason, RunError
from curate.humanize import counted
from curate.manifest.schema import VERDICT, arrow_schema
from curate.storage.parquet import DamagedTable, encode_table, read_table
from curate.storage.run_folder import RunFolder

__all__ = ["REVIEWED", "Sidecar", "Verdict", "Verdicts"]

REVIEWED = "review"
"""`label_model` of an image whose category is a person's."""

_FEW = 3
_OF_A_RUN = "verdicts"
_SCHEMA = arrow_schema(VERDICT)
_REQUIRED = [column.name for column in VERDICT if column.required]
_DECIDING = ("id", "verdict", "category", "by")
"""Columns that a selection depends on."""


class Verdict(StrEnum):
    """Decision of a person on an image."""

    KEEP = "keep"
    DROP = "drop"
    RELABEL = "relabel"


@dataclass(frozen=True)
class Sidecar:
    """Folder of verdicts, inside a folder or beside a file."""

    root: RunFolder
    name: str

    @classmethod
    def of(cls, source: str) -> Sidecar:
        """Return the sidecar of a run folder, a manifest or a folder of images.

        A manifest in the folder of its run has the run's.

        Raises:
            RunError: if there is no such file system.
        """
        path = RunFolder(source).url
        if path.endswith(".parquet") or Path(path).is_file():
            folder, name = posixpath.split(path)
            run = posixpath.dirname(folder)
            if posixpath.basename(folder) == "manifest" and _is_run(run):
                return cls.of_run(RunFolder(run))
            return cls(RunFolder(folder), f"{name.removesuffix('.parquet')}.{_OF_A_RUN}")
        if _is_run(path):
            return cls.of_run(RunFolder(path))
        folder, name = posixpath.split(path)
        return cls(RunFolder(folder), f"{name}.{_OF_A_RUN}")

    @classmethod
    def of_run(cls, folder: RunFolder) -> Sidecar:
        """Return the sidecar of a run folder."""
        return cls(folder, _OF_A_RUN)

    @property
    def is_of_run(self) -> bool:
        """Whether it is in a run folder."""
        return self.name == _OF_A_RUN

    def __str__(self) -> str:
        return f"{self.root.url.rstrip('/')}/{self.name}"

    def read(self) -> pa.Table:
        """Read the rows of all files, in the order of the files' names.

        Raises:
            RunError: if a file is damaged, or holds anything but verdicts.
        """
        paths = self.root.names(self.name, ".parquet")
        return pa.concat_tables([_SCHEMA.empty_table(), *map(self._read_file, paths)])

    def write(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a file of verdicts whole.

        Raises:
            RunError: if it can't be written.
        """
        data = encode_table(pa.Table.from_pylist(list(rows), _SCHEMA))
        path = f"{self.name}/{name}.parquet"
        try:
            self.root.write(path, data)
        except RunError:
            # a run that starts in the same folder removes unfinished files
            self.root.write(path, data)

    def remove(self, name: str) -> None:
        """Remove a file of verdicts, if it is there."""
        self.root.remove(f"{self.name}/{name}.parquet")

    def _read_file(self, path: str) -> pa.Table:
        where = f"{self.root}/{path}"
        try:
            with self.root.open(path) as file:
                table = read_table(file, _SCHEMA.names)
            # a file of others may lack columns, or hold text that is no text
            table = table.select(_SCHEMA.names).cast(_SCHEMA)
            table.validate(full=True)
        except (DamagedTable, OSError, KeyError, pa.ArrowException) as error:
            detail = " ".join(str(error).split())
            raise RunError(
                f"{where} is no file of verdicts ({detail}): put a copy in its place, or remove it"
            ) from error
        for fault in _faults(table):
            raise RunError(f"{where} {fault}: mend the file, or remove it")
        return table


def _is_run(path: str) -> bool:
    folder = RunFolder(path)
    return folder.exists("recipe.yaml") and folder.exists("candidates/index.json")


def _faults(table: pa.Table) -> Iterator[str]:
    """Yield what is wrong with the rows of a file, as the end of a sentence."""
    for name in _REQUIRED:
        if table[name].null_count:
            yield f"has rows without {name!r}"
    known = pc.is_in(table["verdict"], pa.array([str(verdict) for verdict in Verdict]))
    if unknown := table["verdict"].filter(pc.invert(known)).to_pylist():
        yield f"has the verdict {unknown[0]!r}: it is {', '.join(Verdict)}"
    relabelled = pc.equal(table["verdict"], str(Verdict.RELABEL))
    if pc.any(pc.and_(relabelled, pc.is_null(table["category"]))).as_py():
        yield "relabels an image without a category"


@dataclass(frozen=True)
class Verdicts:
    """Newest verdict on each image."""

    table: pa.Table
    """id, verdict, category and by, ordered by id."""
    where: str = ""
    """Sidecar that they come from."""

    @classmethod
    def read(cls, *sidecars: Sidecar) -> Verdicts:
        """Read the newest verdict on each image; of equally old ones the last file's holds.

        Raises:
            RunError: if a file is damaged, or holds anything but verdicts.
        """
        tables = [sidecar.read() for sidecar in sidecars]
        return cls.newest(pa.concat_tables(tables), " and ".join(map(str, sidecars)))

    @classmethod
    def newest(cls, rows: pa.Table, where: str = "") -> Verdicts:
        """Return the newest verdict on each image among the rows of a sidecar."""
        place = pa.array(range(len(rows)), pa.int64())
        order = pc.sort_indices(
            pa.table({"when": rows["when"], "place": place}),
            [("when", "ascending"), ("place", "ascending")],
        )
        ids = rows["id"].take(order).to_pylist()
        last = {id_: row for row, id_ in enumerate(ids)}
        chosen = order.take(pa.array([last[id_] for id_ in sorted(last)], pa.int64()))
        return cls(rows.select(_DECIDING).take(chosen).combine_chunks(), where)

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def essence(self) -> list[list[str | None]]:
        """JSON-like value of all that a selection depends on."""
        columns = [self.table[name].to_pylist() for name in _DECIDING]
        return [list(row) for row in zip(*columns, strict=True)]

    def check_categories(self, known: Sequence[str]) -> None:
        """Refuse categories that a taxonomy doesn't have.

        Raises:
            RunError: if there are any.
        """
        named = self.table["category"].drop_null().unique().to_pylist()
        unknown = sorted(set(named) - set(known))
        if unknown:
            raise RunError(
                f"{self.where} gives images the category {unknown[0]!r}, which the taxonomy of the "
                "recipe doesn't have: relabel them with  curate review, or mend label.taxonomy"
            )

    def name_unknown(self, known: pa.Array | pa.ChunkedArray) -> str | None:
        """Return a sentence on verdicts on none of the known ids; None where there are none."""
        strange = self.table["id"].filter(pc.invert(pc.is_in(self.table["id"], known)))
        if not len(strange):
            return None
        few = ", ".join(repr(id_)[1:-1] for id_ in strange[:_FEW].to_pylist())
        more = " and more" if len(strange) > _FEW else ""
        subject = counted(len(strange), "verdict")
        return f"{subject} of {self.where} passed over, on no image of it: {few}{more}"

    def of_rows(self, rows: pa.Table) -> pa.Table:
        """Return the verdict on each row, nulls where there is none."""
        place = pc.index_in(rows["id"], self.table["id"].combine_chunks())
        return self.table.take(place)

    def apply(self, rows: pa.Table, broad: Mapping[str, str]) -> pa.Table:
        """Return rows with the verdicts on them, and who gave them.

        A dropped image gets the reason `dropped_by_review` unless it has a reason. An image whose
        category a person chose gets that category, `label_model` "review", and neither score nor
        margin. A kept image gets nothing else: a filter that rejects it still does.

        Args:
            rows: with the columns id and reason; others of the ledger where they are wanted.
            broad: category -> its broad class.
        """
        given = self.of_rows(rows)
        category = given["category"].combine_chunks()
        chosen = pc.is_valid(category)
        classes = [broad.get(name) if name else None for name in category.to_pylist()]
        replaced = {
            "category": category,
            "broad": pa.array(classes, pa.string()),
            "label_model": pa.scalar(REVIEWED),
            "label_score": pa.scalar(None, pa.float32()),
            "label_margin": pa.scalar(None, pa.float32()),
        }
        columns = dict(zip(rows.column_names, rows.columns, strict=True))
        for name in replaced.keys() & columns.keys():
            columns[name] = pc.if_else(chosen, replaced[name], columns[name])
        dropped = pc.fill_null(pc.equal(given["verdict"], str(Verdict.DROP)), False)
        reason = pc.if_else(dropped, str(Reason.DROPPED_BY_REVIEW), pa.scalar(None, pa.string()))
        columns["reason"] = pc.coalesce(rows["reason"], reason)
        return pa.table(columns | {"verdict": given["verdict"], "verdict_by": given["by"]})
