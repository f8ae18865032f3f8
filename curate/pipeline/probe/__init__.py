"""What a run would bring, before days are spent on it: a sample of the list is fetched, measured and judged."""

from curate.pipeline.probe.diagnosis import Diagnosis
from curate.pipeline.probe.forecast import Estimate, Range
from curate.pipeline.probe.probe import ProbeOutcome, probe

__all__ = ["Diagnosis", "Estimate", "ProbeOutcome", "Range", "probe"]
