"""Report: what a run did, as numbers, figures and one HTML page."""

from curate.stages.report.funnel import Loss, funnel
from curate.stages.report.page import build_report

__all__ = ["Loss", "build_report", "funnel"]
