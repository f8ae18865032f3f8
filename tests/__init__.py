"""Tests, in folders like the package's; they draw their pictures and serve their own sites."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""
TESTSETS = ROOT.parent / "shared/testsets"
"""Published test sets beside the checkout, on machines that have them."""
