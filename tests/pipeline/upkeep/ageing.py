"""A site whose pictures change once they are published."""

import asyncio
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from aiohttp import web
from PIL import Image

from curate.demo.misbehaviour import MISBEHAVIOURS, Handler, Visit
from curate.demo.pictures import Entry, Picture
from curate.demo.site import DemoSite

SETTINGS = (
    "candidates.shard_size=4",
    "fetch.allow_networks=[127.0.0.1/32]",
    "fetch.user_agent=test@example.org",
    "fetch.retries=0",
    "fetch.deadline=20",
)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def recoded(body: bytes) -> bytes:
    return saved(Image.open(io.BytesIO(body)).convert("RGB"), "JPEG", quality=60)


def lossless(body: bytes) -> bytes:
    return saved(Image.open(io.BytesIO(body)), "PNG", compress_level=1)


def resized(body: bytes) -> bytes:
    image = Image.open(io.BytesIO(body)).convert("RGB")
    return saved(
        image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC), "PNG"
    )


def replaced(body: bytes) -> bytes:
    noise = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    return saved(Image.fromarray(noise), "JPEG")


BODIES = {"recoded": recoded, "lossless": lossless, "resized": resized, "replaced": replaced}
FATES = ("same", *BODIES, "not-found", "unavailable", "damaged", "disguised", "opted-out", "same")
"""State of each picture when the site is old, in the order of the list."""
STATES = (
    "same", "recoded", "recoded", "recoded", "changed", "gone", "unreachable", "gone", "gone",
    "gone", "same",
)  # fmt: skip
REASONS = (
    None, None, None, None, None, "http_404", "http_5xx", "decode_failed", "not_image",
    "opted_out", None,
)  # fmt: skip


@dataclass
class Ageing:
    """A site of pictures, which are all as they were as long as it is young."""

    fates: Sequence[str] = FATES
    site: DemoSite = field(init=False)
    old: bool = False

    def __post_init__(self) -> None:
        pictures = [Picture("Nature", n, (120 + n, 80), "png") for n in range(len(self.fates))]
        entries = [
            Entry(f"/{n}-{fate}, {fate}", picture, "", "", fate, fate)
            for n, (picture, fate) in enumerate(zip(pictures, self.fates, strict=True))
        ]
        handlers = {fate: self._turning(fate) for fate in self.fates}
        self.site = DemoSite(0, entries=entries, handlers=handlers)

    @property
    def urls(self) -> list[str]:
        return self.site.urls()

    def _turning(self, fate: str) -> Handler:
        async def answer(visit: Visit) -> web.StreamResponse:
            if not self.old or fate == "same":
                return web.Response(body=visit.body, content_type=visit.media_type)
            if change := BODIES.get(fate):
                return web.Response(
                    body=await asyncio.to_thread(change, visit.body), content_type="image/jpeg"
                )
            return await MISBEHAVIOURS[fate](visit)

        return answer


def fates(urls: Iterable[str]) -> list[int]:
    """Places in FATES of some of the site's URLs."""
    return [int(url.rpartition("/")[2].partition("-")[0]) for url in urls]
