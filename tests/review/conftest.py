"""A small finished run, and the review of it behind Starlette's test client."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("duckdb")

from starlette.testclient import TestClient

from curate.review.collection import open_collection
from curate.review.review_session import Review
from curate.review.server import create_app
from tests.contracts.contracts_run import RUN

TOKEN = "token"
HOST = "127.0.0.1:8000"


@dataclass(frozen=True)
class Reviewing:
    """A review of a source, and a client of its server."""

    review: Review
    client: TestClient

    def get(self, path: str) -> Any:
        """Return the answer to a request that succeeds."""
        answer = self.client.get(f"/{TOKEN}/api/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **body: Any) -> Any:
        """Return the status and the answer to a write of the page."""
        answer = self.client.post(
            f"/{TOKEN}/api/{path}", json=body, headers={"origin": f"http://{HOST}"}
        )
        return answer.status_code, answer.json()

    def ids(self, query: str = "") -> list[str]:
        """Return the ids of a list."""
        return [row["id"] for row in self.get(f"images?{query}")["rows"]]


def reviewing(source: Path, by: str = "ann") -> Reviewing:
    review = Review(open_collection(str(source)), by)
    return Reviewing(review, TestClient(create_app(review, TOKEN), base_url=f"http://{HOST}"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUN, tmp_path / "run"))


@pytest.fixture
def desk(run: Path) -> Iterator[Reviewing]:
    desk = reviewing(run)
    with desk.review:
        yield desk


@pytest.fixture(scope="module")
def reader() -> Iterator[Reviewing]:
    """A review of the pinned run, for tests that write nothing."""
    desk = reviewing(RUN)
    with desk.review:
        yield desk
