"""What a run would bring, before days are spent on it: a sample of the list is fetched, measured and judged."""

from curate.pipeline.probe.diagnosis import Diagnosis
from curate.pipeline.probe.forecast import Estimate
from curate.pipeline.probe.probe import ProbeOutcome, probe
from curate.pipeline.sampling import Range

__all__ = ["Diagnosis", "Estimate", "ProbeOutcome", "Range", "probe"]
