"""A picture that shows what a restorer does: clean, degraded and restored side by side, with a magnified detail."""

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
_SPOILT = ("degraded", "restored")

Picture = NDArray[Any] | Image.Image


def comparison(
    clean: Picture, degraded: Picture, restored: Picture, path: str | os.PathLike[str]
) -> None:
    """Write a PNG strip "clean | degraded | restored", captioned with PSNR, the same detail of each enlarged.

    Args:
        clean: RGB, as the other two.
        degraded: of the same size.
        restored: of the same size.
        path: where the PNG goes.

    Raises:
        RestoreError: if the sizes differ.
    """
    before_and_after(degraded, restored, path, clean=clean)


def before_and_after(
    before: Picture, after: Picture, path: str | os.PathLike[str], *, clean: Picture | None = None
) -> None:
    """Write a PNG strip "before | after", the same detail of both enlarged; with a clean one, as `comparison`.

    Raises:
        RestoreError: if the sizes differ.
    """
    arrays = [np.asarray(picture) for picture in (clean, before, after) if picture is not None]
    if len({array.shape for array in arrays}) > 1:
        raise RestoreError(
            f"pictures to compare must have one size, not {', '.join(str(a.shape[1::-1]) for a in arrays)}"
        )
    captions = ["before", "after"]
    if clean is not None:
        captions = [
            "clean",
            *(
                f"{n}  {psnr(a, arrays[0]):.2f} dB"
                for n, a in zip(_SPOILT, arrays[1:], strict=True)
            ),
        ]
    box = _detail(arrays[-1] if clean is None else arrays[0])
    panels = [_panel(Image.fromarray(array), box) for array in arrays]
    width, height = panels[0].size
    strip = Image.new(
        "RGB", (len(panels) * (width + _GAP) + _GAP, height + _CAPTION + _GAP), _PAPER
    )
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(size=18)
    for i, (panel, caption) in enumerate(zip(panels, captions, strict=True)):
        left = _GAP + i * (width + _GAP)
        draw.text((left + width // 2, _CAPTION // 2), caption, _INK, font=font, anchor="mm")
        strip.paste(panel, (left, _CAPTION))
    buffer = io.BytesIO()
    strip.save(buffer, "PNG")
    atomic.write(path, buffer.getvalue())


def _detail(clean_HWC: NDArray[Any]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the square with the most texture, a tenth of the shorter side."""
    height, width = clean_HWC.shape[:2]
    side = max(min(height, width) // 10, 1)
    grey_HW = clean_HWC.mean(axis=2)
    variance_HW = uniform_filter(grey_HW**2, side) - uniform_filter(grey_HW, side) ** 2
    inner_HW = variance_HW[side // 2 : height - side // 2, side // 2 : width - side // 2]
    top, left = np.unravel_index(int(inner_HW.argmax()), inner_HW.shape)
    return int(left), int(top), int(left) + side, int(top) + side


def _panel(picture: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """The picture at the panel's width, its detail marked, and enlarged in the corner farthest from it."""
    scale = _PANEL / picture.width
    size = (_PANEL, max(round(picture.height * scale), 1))
    panel = picture.resize(
        size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    )
    draw = ImageDraw.Draw(panel)
    left, top, right, bottom = (round(edge * scale) for edge in box)
    draw.rectangle((left, top, right, bottom), outline=_MARK, width=2)
    side = min(_ZOOM * max(right - left, 16), min(size) * 2 // 5)
    inset = picture.crop(box).resize((side, side), Image.Resampling.NEAREST)
    x = size[0] - side - 4 if left + right < size[0] else 4
    y = size[1] - side - 4 if top + bottom < size[1] else 4
    draw.rectangle((x - 2, y - 2, x + side + 1, y + side + 1), outline=_MARK, width=2)
    panel.paste(inset, (x, y))
    return panel
