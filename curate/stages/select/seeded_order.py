"""Seeded order of images, by hashes of their ids."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["id_numbers", "seeded_hashes"]


def id_numbers(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Convert ids of 16 hex digits to numbers: the same order, in an eighth of the memory."""
    raw = pc.cast(ids, pa.large_binary()).combine_chunks()
    if not len(raw):
        return np.empty(0, np.uint64)
    digits = memoryview(raw.buffers()[2])[16 * raw.offset : 16 * (raw.offset + len(raw))]
    return np.frombuffer(bytes.fromhex(str(digits, "ascii")), ">u8").astype(np.uint64)


def seeded_hashes(number_N: NDArray[np.uint64], salt: str) -> NDArray[np.uint64]:
    """Hash ids with a seed, without collisions: SplitMix64's finaliser (Steele et al. 2014)."""
    digest = hashlib.sha256(salt.encode()).digest()
    x_N = number_N + np.frombuffer(digest[:8], ">u8").astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x_N ^= x_N >> np.uint64(shift)
        x_N *= np.uint64(factor)
    x_N ^= x_N >> np.uint64(31)
    return x_N
