"""Statistics that the HQ-50K paper gives: Tables 2 and 9, and Urban100's ratio of Table 1."""

from __future__ import annotations

from curate.manifest.statistics import Statistics

__all__ = ["ABLATIONS", "PUBLISHED"]

PUBLISHED: dict[str, Statistics] = {
    name: Statistics(number, pixels, bpp, None, ratio, diversity, None)
    for name, number, pixels, bpp, ratio, diversity in (
        ("DIV2K", 800, 2_788_027, 12.69, 0.008227, 0.997),
        ("Flickr2K", 2_650, 2_763_878, 12.76, 0.005369, 1.032),
        ("BSDS400", 400, 154_401, 3.77, 0.008863, 1.092),
        ("WED", 4_744, 218_576, 24.74, 0.005818, 1.068),
        ("Rain13K", 1_212, 209_256, 1.5357, 0.010858, 0.934),
        ("ImageNet", 1_281_167, 219_175, 4.72, 0.010930, 1.036),
        ("Laion-HR", 170_000_000, 3_117_066, 1.57, 0.001918, 1.099),
        ("HQ-50K", 50_000, 2_509_509, 12.86, 0.014270, 1.143),
        ("Urban100", 100, None, None, 0.01514, None),
    )
}
"""Statistics by the paper's names of datasets.

Ratios stand in `hf_ratio_032`, since they have its scale. The bpp of DIV2K, Flickr2K and HQ-50K is
that of PNG files, not of the bytes as served (docs/science.md).
"""

ABLATIONS: dict[str, Statistics] = {
    name: Statistics(800, pixels, bpp, None, ratio, diversity, None)
    for name, pixels, bpp, ratio, diversity in (
        ("full", 2_519_300, 12.92, 0.0185, 1.143),
        ("low_resolution", 279_948, 12.34, 0.0183, 1.143),
        ("low_bpp", 2_519_300, 1.88, 0.0134, 1.143),
        ("low_frequency", 2_519_300, 12.86, 0.0011, 1.143),
        ("low_diversity", 2_513_121, 12.92, 0.0189, 1.001),
    )
}
"""Table 9 by our names of its rows; bpp is of PNG files, but `low_bpp`'s (docs/decisions/0019)."""
