"""Detection of duplicates: python -m benchmarks.dedup WHAT [FOLDER...]

WHAT is one of

    scale     clusters of a million synthetic hashes, a tenth of them near another: seconds, memory
    recall    copies of the pictures of FOLDERs that their perceptual hashes recognise, at several
              radii, and the number of pairs of different pictures taken for the same

Prints Markdown.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from benchmarks.copies import COPIES, pictures
from curate.stages.measure import perceptual_hash
from curate.stages.select.duplicates import mirror_hash
from curate.stages.select.hamming_links import components, hamming_links

RADII = (0, 2, 4, 6, 8, 10)


def scale(count: int, radius: int, plain: float) -> None:
    """Time the search among hashes; the last ones, of plain pictures, differ in 16 bits only."""
    rng = np.random.default_rng(0)
    hash_N = rng.integers(0, 2**64, count, np.uint64, endpoint=False)
    bits = np.uint64(1) << np.arange(64, dtype=np.uint64)
    near = slice(0, count // 10)
    copied = hash_N[count // 10 : 2 * (count // 10)].copy()
    for _ in range(radius):
        copied ^= bits[rng.integers(0, 64, len(copied))]
    hash_N[near] = copied
    few = int(count * plain)
    hash_N[count - few :] = rng.integers(0, 2**16, few, np.uint64)
    start = time.perf_counter()
    label_N = components(hamming_links(hash_N, radius), count)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    same = np.mean(label_N[near] == label_N[count // 10 : 2 * (count // 10)])
    print("| hashes | of plain pictures | radius | seconds | peak GB | copies found |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(f"| {count:,} | {plain:.0%} | {radius} | {seconds:.1f} | {memory:.2f} | {same:.1%} |")


def recall(folders: list[Path]) -> None:
    """Print how many copies are known at each radius, with and without mirroring."""
    rng = np.random.default_rng(0)
    hashes: list[int] = []
    distances: dict[str, list[tuple[int, int]]] = {name: [] for name in COPIES}
    for _, picture in pictures(folders):
        whole = perceptual_hash(np.asarray(picture.convert("L")))
        hashes.append(whole)
        turned = int(mirror_hash(np.array([whole], np.uint64))[0])
        for name, copy in COPIES.items():
            found = perceptual_hash(np.asarray(copy(picture, rng).convert("L")))
            distances[name].append(((found ^ whole).bit_count(), (found ^ turned).bit_count()))
    print(
        f"{len(hashes)} pictures\n\n| copy | {' | '.join(f'radius {radius}' for radius in RADII)} |"
    )
    print(f"| --- |{' --- |' * len(RADII)}")
    for name, found_ in distances.items():
        shares = (f"{np.mean([min(pair) <= radius for pair in found_]):.0%}" for radius in RADII)
        print(f"| {name} | {' | '.join(shares)} |")
    hash_N = np.array(hashes, np.uint64)
    one, two = np.triu_indices(len(hash_N), 1)
    apart = np.minimum(
        np.bitwise_count(hash_N[one] ^ hash_N[two]),
        np.bitwise_count(hash_N[one] ^ mirror_hash(hash_N)[two]),
    )
    print(
        f"| pairs of {len(one):,} taken for the same | "
        f"{' | '.join(str(int((apart <= r).sum())) for r in RADII)} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("scale", "recall"))
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--radius", type=int, default=4)
    parser.add_argument("--plain", type=float, default=0.0)
    options = parser.parse_args()
    if options.what == "scale":
        scale(options.count, options.radius, options.plain)
    else:
        recall(options.folders)


if __name__ == "__main__":
    main()
