"""Probe: forecast a run's yield, cost and troubles from a sample of its list."""

from curate.pipeline.probe.diagnosis import Diagnosis
from curate.pipeline.probe.forecast import Estimate
from curate.pipeline.probe.probe import ProbeOutcome, probe
from curate.pipeline.sampling import Range
