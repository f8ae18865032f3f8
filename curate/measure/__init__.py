"""Bytes -> numbers: format facts, bits per pixel, high-frequency ratios, hashes. Pure functions."""

from curate.measure.frequency import PAPER_CUTOFF, PUBLISHED_CUTOFF, high_frequency_ratios
from curate.measure.image import Measures, bits_per_pixel, measure_image, perceptual_hash
from curate.measure.keypoints import find_keypoints
from curate.measure.shard import MeasureShard

__all__ = [
    "PAPER_CUTOFF",
    "PUBLISHED_CUTOFF",
    "MeasureShard",
    "Measures",
    "bits_per_pixel",
    "find_keypoints",
    "high_frequency_ratios",
    "measure_image",
    "perceptual_hash",
]
