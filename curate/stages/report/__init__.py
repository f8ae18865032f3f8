"""Report of a run: numbers, figures, pictures and one HTML page."""

from curate.stages.report.comparison import render_comparison
from curate.stages.report.funnel import Loss, funnel
from curate.stages.report.page import build_report
