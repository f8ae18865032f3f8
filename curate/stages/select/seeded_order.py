"""Ids as numbers, and the lot that is drawn with them."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["draw_lots", "id_numbers"]


def id_numbers(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Ids, which are 16 hex digits, as numbers: in the same order, and an eighth of the memory."""
    raw = pc.cast(ids, pa.large_binary()).combine_chunks()
    if not len(raw):
        return np.empty(0, np.uint64)
    digits = memoryview(raw.buffers()[2])[16 * raw.offset : 16 * (raw.offset + len(raw))]
    return np.frombuffer(bytes.fromhex(str(digits, "ascii")), ">u8").astype(np.uint64)


def draw_lots(number_N: NDArray[np.uint64], salt: str) -> NDArray[np.uint64]:
    """A seeded hash of ids, no two alike: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    x_N = number_N + np.frombuffer(hashlib.sha256(salt.encode()).digest()[:8], ">u8").astype(
        np.uint64
    )
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x_N ^= x_N >> np.uint64(shift)
        x_N *= np.uint64(factor)
    x_N ^= x_N >> np.uint64(31)
    return x_N
