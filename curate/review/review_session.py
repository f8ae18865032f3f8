"""Review of a collection: every request of the page as a function of plain values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, fields
from typing import Any, Self

from curate.errors import ImageError, InputError
from curate.manifest.schema import LEDGER
from curate.manifest.verdicts import Verdict
from curate.review.bound_samples import BoundSample, BoundSamples, Tally
from curate.review.collection import Collection
from curate.review.image_table import ImageTable, Query
from curate.review.picture_views import VIEWS, PictureViews
from curate.review.session_verdicts import Given, SessionVerdicts

__all__ = ["Review"]

_LONGEST = 2_000
"""Characters of a note or a text to search for."""
_COLUMNS = {column.name: column for column in LEDGER}
_NOT_SHOWN = ("tar", "offset", "local_path", "phash", "verdict", "verdict_by")


class Review:
    """Review of a collection by one person.

    Args:
        collection: images, and where verdicts on them go.
        by: name of the reviewer.
        seed: of the samples near the bounds.

    Raises:
        CurateError: if images or earlier verdicts can't be read.
    """

    def __init__(self, collection: Collection, by: str, seed: int = 0) -> None:
        self._collection = collection
        self.verdicts = SessionVerdicts(collection.sidecar, by)
        with ExitStack() as stack:
            self._table = stack.enter_context(ImageTable(collection.rows))
            self._table.set_verdicts(map(_essence, self.verdicts.all_current()))
            self._samples = BoundSamples(self._table, collection.bounds, seed)
            self._views = PictureViews(collection.read)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def unknown(self) -> list[str]:
        """Ids of verdicts on images that the collection doesn't have."""
        found = self._table.ask(
            "SELECT id FROM verdicts WHERE id NOT IN (SELECT id FROM images) ORDER BY id"
        )
        return [id_ for (id_,) in found]

    def state(self) -> dict[str, Any]:
        """Return everything that the page needs to know once."""
        table = self._table
        return {
            "title": self._collection.title,
            "by": self.verdicts.by,
            "images": table.count(),
            "numbers": [_describe(name) for name in table.numbers],
            "choices": {name: table.values_of(name) for name in table.choices},
            "categories": self._collection.categories,
            "searchable": self._collection.find is not None,
            "bounded": bool(self._collection.bounds),
            "measures_on_demand": self._collection.measures_on_demand,
            **self._counts(),
        }

    def images(self, parameters: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Return a page of images.

        Args:
            parameters: `min.<column>`, `max.<column>`, a column of choices, text, verdict, sort,
                sample (`inside.min.bpp`), find, offset and limit, each with its value.

        Raises:
            InputError: if one is unknown, or its value is none.
        """
        page = self._table.page(self._query(parameters))
        return {"total": page.total, "rows": page.rows}

    def image(self, id_: str) -> dict[str, Any]:
        """Return the facts of an image, and the verdict on it.

        Raises:
            InputError: if there is no such image.
        """
        row = self._row(id_)
        facts = {name: value for name, value in row.items() if name not in _NOT_SHOWN}
        note = ""
        if self._collection.measures_on_demand:
            try:
                facts |= self._measure(row)
            except ImageError as error:
                note = str(error)
        url = row.get("url") or ""
        described = [_describe(name) | {"value": _plain(value)} for name, value in facts.items()]
        return {
            "id": id_,
            "link": url if url.startswith(("http://", "https://")) else None,
            "facts": [fact for fact in described if fact["value"] is not None],
            "note": note,
            "verdict": _shown(self.verdicts.current(id_)),
        }

    def view(self, id_: str, view: str) -> tuple[bytes, str]:
        """Return a view of an image, and its media type.

        Raises:
            CurateError: if there is no such image or view, or it can't be shown.
        """
        if view not in VIEWS:
            raise InputError(f"there is no view {view!r}: the views are {', '.join(VIEWS)}")
        return self._views.get(view, self._row(id_)), VIEWS[view]

    def bounds(self) -> dict[str, Any]:
        """Return the samples near each bound with the verdicts on them so far."""
        return {"bounds": [self._bound(sample) for sample in self._samples.samples]}

    def give(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Write a verdict, and return it once it is on disk.

        Raises:
            InputError: if it isn't one, or there is no such image.
            RunError: if it can't be written.
        """
        id_, category, why = (body.get(name) for name in ("id", "category", "why"))
        if body.get("verdict") not in list(Verdict):
            raise InputError(f"a verdict is {', '.join(Verdict)}, not {body.get('verdict')!r}")
        verdict = Verdict(body["verdict"])
        if not isinstance(id_, str):
            raise InputError("a verdict names an image by its id")
        self._row(id_)
        if (category is not None) != (verdict is Verdict.RELABEL):
            raise InputError("a category belongs to the verdict relabel, and to no other")
        if category is not None and category not in self._collection.categories:
            raise InputError(f"there is no category {category!r}")
        if why is not None and (not isinstance(why, str) or len(why) > _LONGEST):
            raise InputError(f"a note is a text of at most {_LONGEST:,} characters")
        given = self.verdicts.give(id_, verdict, category, why or None)
        self._table.set_verdict(id_, given["verdict"], given["category"])
        return {"id": id_, "verdict": _shown(given), **self._counts()}

    def undo(self) -> dict[str, Any]:
        """Take back the session's last verdict.

        Raises:
            InputError: if there is none.
        """
        id_ = self.verdicts.undo()
        if id_ is None:
            raise InputError("this session has no verdict to take back")
        before = self.verdicts.current(id_) or {"verdict": None, "category": None}
        self._table.set_verdict(id_, before["verdict"], before["category"])
        return {"id": id_, "verdict": _shown(self.verdicts.current(id_)), **self._counts()}

    def _counts(self) -> dict[str, Any]:
        found = dict(
            self._table.ask(
                "SELECT verdict, count(*) FROM verdicts "
                "WHERE id IN (SELECT id FROM images) GROUP BY 1"
            )
        )
        return {"counts": {str(verdict): found.get(str(verdict), 0) for verdict in Verdict}}

    def _row(self, id_: str) -> dict[str, Any]:
        row = self._table.row(id_)
        if row is None:
            raise InputError(f"there is no image {id_[:80]!r}")
        return row

    def _measure(self, row: Mapping[str, Any]) -> dict[str, Any]:
        from curate.images.decoder_process import run_in_decoder
        from curate.stages.measure import measure_image

        measures = run_in_decoder(measure_image, self._collection.read(row))
        return {f.name: getattr(measures, f.name) for f in fields(measures) if f.name in _COLUMNS}

    def _bound(self, sample: BoundSample) -> dict[str, Any]:
        tally = self._samples.tally
        return {
            "name": sample.name,
            "value": sample.bound.value,
            "reason": sample.bound.reason.value,
            "outside": _tallied(
                sample.outside, sample.near_outside, tally(sample.outside, sample.near_outside)
            ),
            "inside": _tallied(
                sample.inside, sample.near_inside, tally(sample.inside, sample.near_inside)
            ),
        }

    def _query(self, parameters: Iterable[tuple[str, str]]) -> Query:
        least: dict[str, float] = {}
        most: dict[str, float] = {}
        choices: dict[str, str] = {}
        others: dict[str, Any] = {}
        for name, value in parameters:
            match name.partition("."):
                case ("min", ".", column):
                    least[column] = _number(value)
                case ("max", ".", column):
                    most[column] = _number(value)
                case ("offset" | "limit", "", ""):
                    others[name] = int(_number(value))
                case ("text" | "verdict" | "sort", "", ""):
                    others[name] = value[:_LONGEST]
                case ("sample", "", ""):
                    others["ids"] = self._sample(value)
                case ("find", "", "") if self._collection.find is not None:
                    others["ids"] = self._collection.find(value[:_LONGEST])
                case (column, "", "") if column in self._table.choices:
                    choices[column] = value
                case _:
                    raise InputError(f"there is no {name!r} to choose images by")
        return Query(least, most, choices, **others)

    def _sample(self, name: str) -> tuple[str, ...]:
        side, _, bound = name.partition(".")
        for sample in self._samples.samples:
            if sample.name == bound and side in ("inside", "outside"):
                return sample.inside if side == "inside" else sample.outside
        raise InputError(f"there is no sample {name!r}")


def _tallied(ids: tuple[str, ...], near: int, tally: Tally) -> dict[str, Any]:
    return {"drawn": len(ids), "near": near, **asdict(tally)}


def _essence(given: Given) -> tuple[str, str, str | None]:
    return given["id"], given["verdict"], given["category"]


def _shown(given: Given | None) -> dict[str, Any] | None:
    """Return a verdict as the page shows it."""
    if given is None:
        return None
    return {name: given[name] for name in ("verdict", "category", "by", "why")} | {
        "when": f"{given['when']:%Y-%m-%d %H:%M}"
    }


def _describe(name: str) -> dict[str, Any]:
    column = _COLUMNS.get(name)
    unit = column.unit if column is not None else ""
    return {"name": name, "unit": unit, "meaning": column.meaning if column is not None else ""}


def _plain(value: Any) -> Any:
    """Return a value that JSON has."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool) or value is None else str(value)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > 2**53:
        raise InputError(f"{text[:40]!r} is no number")
    return value
