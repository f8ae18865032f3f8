"""Log levels of other packages' loggers."""

from __future__ import annotations

import logging

import pytest

from curate.log_levels import log_levels


def test_log_levels_are_restored_after_an_error() -> None:
    logger = logging.getLogger("curate.tests.noisy")
    logger.setLevel(logging.INFO)
    with pytest.raises(ValueError, match="failed"), log_levels({logger.name: logging.CRITICAL}):
        assert logger.level == logging.CRITICAL
        raise ValueError("failed")
    assert logger.level == logging.INFO
