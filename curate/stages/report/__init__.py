"""Report of a run: numbers, figures and one HTML page."""

from curate.stages.report.funnel import Loss, funnel
from curate.stages.report.page import build_report
