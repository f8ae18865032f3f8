import io

import numpy as np
import pytest
from PIL import Image

from curate.errors import ImageError
from curate.review import picture_views
from curate.review.picture_views import PictureViews, draw_spectrum


def png(height: int, width: int) -> bytes:
    noise = np.random.default_rng(2).integers(0, 255, (height, width, 3), np.uint8)
    sink = io.BytesIO()
    Image.fromarray(noise).save(sink, "PNG")
    return sink.getvalue()


@pytest.mark.parametrize("shape", [(64, 48), (63, 47), (64, 47), (1, 1), (1, 9), (2, 2)])
def test_spectrum_shows_the_shifted_power_of_the_dft(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_views, "_RINGS", {})
    luma_HW = np.random.default_rng(4).integers(0, 255, shape, np.uint8)
    drawing_HW = np.asarray(draw_spectrum(luma_HW).convert("L"), float)
    assert drawing_HW.shape == shape
    power_HW = np.abs(np.fft.fftshift(np.fft.fft2(luma_HW - luma_HW.mean()))) ** 2
    log_HW = np.log10(np.maximum(power_HW, 1e-3))
    low, high = np.percentile(log_HW, (1, 99.9))
    expected_HW = ((log_HW - low) / max(high - low, 1e-6)).clip(0, 1) * 255
    assert np.abs(drawing_HW - expected_HW).max() < 2


def test_spectrum_of_a_large_picture_is_bounded() -> None:
    drawing = draw_spectrum(np.zeros((3000, 5000), np.uint8))
    assert max(drawing.size) == 512


def test_view_is_decoded_once_and_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_views, "_CACHED", 400_000)
    data, reads = png(120, 160), []

    def read(row: object) -> bytes:
        reads.append(row)
        return data

    views = PictureViews(read)
    for _ in range(3):
        views.get("picture", {"id": "a"})
    assert len(reads) == 1
    for number in range(20):
        views.get("picture", {"id": str(number)})
    assert views._nbytes <= 400_000
    views.get("picture", {"id": "a"})
    assert len(reads) == 22


def test_picture_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    head = png(4, 4)
    # the header claims 20,000 x 20,000
    large = head[:16] + (20_000).to_bytes(4) * 2 + head[24:]
    for view in ("thumbnail", "picture", "spectrum"):
        with pytest.raises(ImageError, match="too many to show"):
            PictureViews(lambda row: large).get(view, {"id": "a"})
