"""Pictures that the site's build draws, each from photographs that installed packages ship."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from PIL import Image, ImageFilter

from curate.demo.photographs import photographs
from curate.stages.measure import high_frequency_ratios
from curate.stages.measure.frequency import PAPER_CUTOFF, PUBLISHED_CUTOFF

__all__ = ["PICTURES", "draw"]


def spectra() -> Figure:
    """Draw a photograph, a blurred and an enlarged copy above their spectra and cut-offs."""
    (photograph,) = (one for one in photographs() if one.name.startswith("china"))
    original = photograph.open().convert("L")
    half = original.resize((original.width // 2, original.height // 2), Image.Resampling.LANCZOS)
    copies = {
        "as shot": original,
        "blurred, sigma 1.5": original.filter(ImageFilter.GaussianBlur(1.5)),
        "enlarged to twice its size": half.resize(original.size, Image.Resampling.BICUBIC),
    }
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    grid_RC = figure.subplots(2, len(copies))
    for (title, picture), (above, below) in zip(copies.items(), grid_RC.T, strict=True):
        luma_HW = np.asarray(picture)
        ratios = high_frequency_ratios(luma_HW, (PUBLISHED_CUTOFF, PAPER_CUTOFF))
        above.imshow(luma_HW, cmap="gray", vmin=0, vmax=255)
        above.set_title(title, fontsize=11)
        _draw_spectrum(below, luma_HW)
        below.set_xlabel(f"beyond 0.32: {ratios[0]:.3%}    beyond 0.5: {ratios[1]:.3%}")
    for axes in grid_RC.flat:
        axes.set(xticks=[], yticks=[])
    return figure


def _draw_spectrum(axes: Axes, luma_HW: np.ndarray) -> None:
    """Draw the power of a picture's DFT, its zero frequency in the middle, and both cut-offs."""
    height, width = luma_HW.shape
    power_HW = np.abs(np.fft.fftshift(np.fft.fft2(luma_HW - luma_HW.mean()))) ** 2
    axes.imshow(np.log10(power_HW + 1), cmap="magma", vmin=2, vmax=12)
    for cutoff, style in ((PUBLISHED_CUTOFF, "-"), (PAPER_CUTOFF, "--")):
        diameter = cutoff * np.hypot(height, width)
        middle = width // 2, height // 2
        axes.add_patch(Ellipse(middle, diameter, diameter, fill=False, color="white", ls=style))


PICTURES: dict[str, Callable[[], Figure]] = {"spectra.png": spectra}
"""Name of a file -> the function that draws it."""


def draw(name: str) -> bytes:
    """Return a picture as a PNG file."""
    sink = io.BytesIO()
    PICTURES[name]().savefig(sink, format="png", dpi=144, facecolor="white")
    return sink.getvalue()
