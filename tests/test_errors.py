import inspect
import pickle
import re

import pytest

from curate import errors
from curate.errors import CurateError, ImageError, MissingExtra, Reason

STAGES = ("candidates", "fetch", "measure", "filter", "label", "select", "rebuild", "engine")


def test_one_root_for_whatever_a_user_can_cause() -> None:
    found = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)]
    assert len(found) >= 9
    assert all(issubclass(error, CurateError) for error in found)
    assert not issubclass(CurateError, (OSError, ValueError))


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    assert drawn == {name for name in errors.__all__ if name not in ("CurateError", "Reason")}


def test_everything_that_is_there_is_exported() -> None:
    own = {
        name
        for name, c in inspect.getmembers(errors, inspect.isclass)
        if c.__module__ == errors.__name__
    }
    assert own == set(errors.__all__)
    assert list(errors.__all__) == sorted(errors.__all__)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_says_where_and_why(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z0-9_]+", reason.value)
    assert reason.name == reason.value.upper()
    assert reason.stage in STAGES
    assert reason.meaning
    assert type(reason.transient) is bool


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_its_text_in_tables_and_back(reason: Reason) -> None:
    assert reason == str(reason) == reason.value
    assert Reason(reason.value) is reason
    assert pickle.loads(pickle.dumps(reason)) is reason


def test_what_another_try_may_mend() -> None:
    assert {r for r in Reason if r.transient} >= {
        Reason.TIMEOUT,
        Reason.DNS,
        Reason.CONNECT,
        Reason.HTTP_429,
        Reason.HTTP_5XX,
    }
    assert not any(
        r.transient
        for r in (Reason.HTTP_404, Reason.NOT_IMAGE, Reason.FORBIDDEN_ADDRESS, Reason.SURPLUS)
    )


def test_an_image_error_carries_its_reason() -> None:
    error = ImageError(Reason.DECODE_FAILED, "3 bytes short")
    assert error.reason is Reason.DECODE_FAILED
    assert str(error) == "decode_failed: 3 bytes short"


def test_a_missing_extra_says_what_to_install() -> None:
    assert str(MissingExtra("training", "train")) == (
        "training needs libraries that aren't installed: run  pip install 'curate[train]'"
    )


@pytest.mark.parametrize(
    "error",
    [
        ImageError(Reason.DNS, "no such host"),
        MissingExtra("training", "train"),
        errors.RunError("in use"),
    ],
)
def test_errors_travel_between_processes(error: CurateError) -> None:
    # a worker's error that can't be unpickled takes its scheduler down
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert getattr(copy, "reason", None) is getattr(error, "reason", None)
