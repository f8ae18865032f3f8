import inspect
import pickle
import re

import pytest

from curate import errors
from curate.errors import CurateError, ImageError, MissingExtra, Reason

STAGES = ("candidates", "fetch", "measure", "filter", "label", "select", "rebuild", "engine")


def test_user_errors_share_one_root() -> None:
    found = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)]
    assert len(found) >= 9
    assert all(issubclass(error, CurateError) for error in found)
    assert not issubclass(CurateError, (OSError, ValueError))


def test_error_tree_in_docstring_matches_classes() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    assert drawn == {name for name in errors.__all__ if name not in ("CurateError", "Reason")}


def test_errors_module_exports_every_error() -> None:
    own = {
        name
        for name, c in inspect.getmembers(errors, inspect.isclass)
        if c.__module__ == errors.__name__
    }
    assert own == set(errors.__all__)
    assert list(errors.__all__) == sorted(errors.__all__)


@pytest.mark.parametrize("reason", Reason)
def test_reason_has_stage_and_meaning(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z0-9_]+", reason.value)
    assert reason.name == reason.value.upper()
    assert reason.stage in STAGES
    assert reason.meaning
    assert type(reason.transient) is bool


@pytest.mark.parametrize("reason", Reason)
def test_reason_round_trips_as_text(reason: Reason) -> None:
    assert reason == str(reason) == reason.value
    assert Reason(reason.value) is reason
    assert pickle.loads(pickle.dumps(reason)) is reason


def test_transient_reasons_are_those_a_retry_may_mend() -> None:
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


def test_image_error_carries_reason() -> None:
    error = ImageError(Reason.DECODE_FAILED, "3 bytes short")
    assert error.reason is Reason.DECODE_FAILED
    assert str(error) == "decode_failed: 3 bytes short"


def test_missing_extra_names_install_command() -> None:
    assert str(MissingExtra("training", "train")) == (
        "training needs libraries that aren't installed: "
        "run  pip install 'curate-restoration[train]'"
    )


@pytest.mark.parametrize(
    "error",
    [
        ImageError(Reason.DNS, "no such host"),
        MissingExtra("training", "train"),
        errors.RunError("in use"),
    ],
)
def test_errors_can_be_pickled(error: CurateError) -> None:
    # a worker's error that can't be unpickled takes its scheduler down
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert getattr(copy, "reason", None) is getattr(error, "reason", None)
