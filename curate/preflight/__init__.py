"""What a run would bring, before days are spent on it: a sample of the list is fetched, measured and judged."""

from curate.preflight.diagnosis import Diagnosis
from curate.preflight.estimation import Estimate, Range
from curate.preflight.probing import ProbeOutcome, probe

__all__ = ["Diagnosis", "Estimate", "ProbeOutcome", "Range", "probe"]
