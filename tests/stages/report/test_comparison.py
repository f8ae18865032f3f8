"""Runs side by side: one page of all, without any picture or address."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.engine import Shard
from curate.errors import RunError
from curate.pipeline.selection_step import _short_names, write_comparison
from curate.stages.report import render_comparison

MakeRun = Callable[..., Shard]


def test_comparison_shows_numbers_of_every_run(make_run: MakeRun) -> None:
    shards = {name: make_run(name=name, train=train) for name, train in (("a", 30), ("b", 60))}
    page = render_comparison(shards)
    rows = dict(re.findall(r'<th scope="row">([^<]+)</th>(<td.*?)</tr>', page, re.DOTALL))
    numbers = {name: re.findall(r">([^<]*)</td>", cells) for name, cells in rows.items()}
    assert numbers["training images"] == ["30", "60"]
    assert numbers["candidates"] == ["300", "300"]
    assert re.search(r"<code>select\.train</code></th><td[^>]*><code>30</code></td>", page)
    assert "<code>select.seed" not in page and "select.dedup" not in page  # they are the same
    assert not re.search(r"<th[^>]*>\s*</th>|https?://(?!www\.w3\.org)", page)
    assert page == render_comparison(shards)


def test_comparison_of_unselected_run_names_missing_stage(make_run: MakeRun) -> None:
    folder = make_run(rows=10).folder
    with pytest.raises(RunError, match="nothing to report yet: run  curate select"):
        write_comparison([str(folder), f"{folder}-other"], f"{folder}/page.html")


def test_comparison_of_run_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="named twice"):
        write_comparison([str(tmp_path), str(tmp_path)], f"{tmp_path}/page.html")


def test_short_names_of_runs_are_unequal() -> None:
    assert _short_names(["runs/a", "runs/b/"]) == ["a", "b"]
    assert _short_names(["x/run", "y/run"]) == ["x/run", "y/run"]
    assert _short_names(["run", "y/run"]) == ["run", "y/run"]
