"""Comparison strips: clean, degraded and restored side by side, with a magnified detail."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import uniform_filter

from curate.errors import RestoreError
from curate.restore.metrics import psnr
from curate.storage import atomic

__all__ = ["before_and_after", "comparison"]

_PANEL, _GAP, _CAPTION, _ZOOM = 480, 12, 34, 4
_INK, _PAPER, _MARK = (34, 34, 34), (255, 255, 255), (255, 196, 0)

Picture = NDArray[Any] | Image.Image


def comparison(
    clean: Picture, degraded: Picture, restored: Picture, path: str | os.PathLike[str]
) -> None:
    """Write a PNG strip "clean | degraded | restored", the last two captioned with their PSNR.

    The same detail of each is enlarged. All three are RGB and of one size.

    Raises:
        RestoreError: if the sizes differ.
    """
    before_and_after(degraded, restored, path, clean=clean)


def before_and_after(
    before: Picture, after: Picture, path: str | os.PathLike[str], *, clean: Picture | None = None
) -> None:
    """Write a PNG strip "before | after", the same detail of both enlarged.

    With a clean picture it is the strip of `comparison`.

    Raises:
        RestoreError: if the sizes differ.
    """
    arrays = [np.asarray(picture) for picture in (clean, before, after) if picture is not None]
    if len({array.shape for array in arrays}) > 1:
        sizes = ", ".join(str(array.shape[1::-1]) for array in arrays)
        raise RestoreError(f"pictures to compare must have one size, not {sizes}")
    captions = ["before", "after"]
    box = _detail(arrays[-1])
    if clean is not None:
        captions, box = ["clean"], _detail(arrays[0])
        for name, array in zip(("degraded", "restored"), arrays[1:], strict=True):
            captions.append(f"{name}  {psnr(array, arrays[0]):.2f} dB")
    panels = [_panel(Image.fromarray(array), box) for array in arrays]
    width, height = panels[0].size
    size = (len(panels) * (width + _GAP) + _GAP, height + _CAPTION + _GAP)
    strip = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(size=18)
    for i, (panel, caption) in enumerate(zip(panels, captions, strict=True)):
        left = _GAP + i * (width + _GAP)
        draw.text((left + width // 2, _CAPTION // 2), caption, _INK, font=font, anchor="mm")
        strip.paste(panel, (left, _CAPTION))
    buffer = io.BytesIO()
    strip.save(buffer, "PNG")
    atomic.write(path, buffer.getvalue())


def _detail(image_HWC: NDArray[Any]) -> tuple[int, int, int, int]:
    """Return the box of the square with most texture, a tenth of the short side wide."""
    height, width = image_HWC.shape[:2]
    side = max(min(height, width) // 10, 1)
    # variance of the grey values in the square around each pixel: E[x^2] - E[x]^2
    grey_HW = image_HWC.mean(axis=2)
    variance_HW = uniform_filter(grey_HW**2, side) - uniform_filter(grey_HW, side) ** 2
    inner_HW = variance_HW[side // 2 : height - side // 2, side // 2 : width - side // 2]
    top, left = map(int, np.unravel_index(int(inner_HW.argmax()), inner_HW.shape))
    return left, top, left + side, top + side


def _panel(picture: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Scale a picture to the panel's width; show its detail enlarged in the farthest corner."""
    scale = _PANEL / picture.width
    width, height = size = (_PANEL, max(round(picture.height * scale), 1))
    method = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    panel = picture.resize(size, method)
    draw = ImageDraw.Draw(panel)
    left, top, right, bottom = (round(edge * scale) for edge in box)
    draw.rectangle((left, top, right, bottom), outline=_MARK, width=2)
    side = min(_ZOOM * max(right - left, 16), min(size) * 2 // 5)
    inset = picture.crop(box).resize((side, side), Image.Resampling.NEAREST)
    x = width - side - 4 if left + right < width else 4
    y = height - side - 4 if top + bottom < height else 4
    draw.rectangle((x - 2, y - 2, x + side + 1, y + side + 1), outline=_MARK, width=2)
    panel.paste(inset, (x, y))
    return panel
