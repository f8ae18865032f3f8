"""Measure stage: bytes of an image -> format facts, bits per pixel, frequency ratios and hashes."""

from curate.stages.measure.frequency import PAPER_CUTOFF, PUBLISHED_CUTOFF, high_frequency_ratios
from curate.stages.measure.identity import perceptual_hash
from curate.stages.measure.image import Measures, bits_per_pixel, measure_image
