"""Device of a process, and log levels of other packages."""

from __future__ import annotations

import logging

import pytest
import torch

from curate.errors import LabelError, RestoreError
from curate.runtime import log_levels, pick_device


@pytest.mark.parametrize("has_gpu", [True, False])
def test_auto_is_a_gpu_when_there_is_one(monkeypatch: pytest.MonkeyPatch, has_gpu: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert pick_device().type == ("cuda" if has_gpu else "cpu")
    assert pick_device("cpu").type == "cpu"


def test_missing_device_raises_the_callers_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LabelError, match=r"^label\.device is cuda, but .* no GPU: use auto or cpu"):
        pick_device("cuda", setting="label.device", error=LabelError)
    with pytest.raises(RestoreError, match=r"no device 'nonsense' here \(.*\): use auto or cpu"):
        pick_device("nonsense")


def test_log_levels_are_restored_after_an_error() -> None:
    logger = logging.getLogger("curate.tests.noisy")
    logger.setLevel(logging.INFO)
    with pytest.raises(ValueError, match="failed"), log_levels({logger.name: logging.CRITICAL}):
        assert logger.level == logging.CRITICAL
        raise ValueError("failed")
    assert logger.level == logging.INFO
