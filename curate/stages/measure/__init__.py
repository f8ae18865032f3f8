"""Bytes -> numbers: format facts, bits per pixel, high-frequency ratios, hashes. Pure functions."""

from curate.stages.measure.frequency import PAPER_CUTOFF, PUBLISHED_CUTOFF, high_frequency_ratios
from curate.stages.measure.image import Measures, bits_per_pixel, measure_image, perceptual_hash
from curate.stages.measure.shard import MeasureShard

__all__ = [
    "PAPER_CUTOFF",
    "PUBLISHED_CUTOFF",
    "MeasureShard",
    "Measures",
    "bits_per_pixel",
    "high_frequency_ratios",
    "measure_image",
    "perceptual_hash",
]
