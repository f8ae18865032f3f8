"""What the restorers' layers cost, as ratios in one process, in turn: mixtures against a plain feed-forward.

    python -m benchmarks.models [--images 4] [--size 84] [--rounds 7] [--device cuda]

On the CPU, processor time of one thread, so that other work on the machine matters little. A ratio is the median over
the rounds of the ratios of neighbours in time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn

from curate.restore.models import SwinIR, build_model
from curate.restore.models.damoe import HardMixture, SoftMixture
from curate.restore.models.swinir import FeedForward, Routing

DIM, HIDDEN, EXPERTS, TASKS = 180, 360, 16, 4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4, help="images of the batch; every task in turn")
    parser.add_argument("--size", type=int, default=84, help="their sides in pixels, a multiple of 7")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--half", action="store_true", help="in bfloat16, as mixed precision has it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.autocast(arguments.device, torch.bfloat16, enabled=arguments.half):
        _print(_feed_forwards, arguments)
        _print(_networks, arguments)


def _print(build: Callable[[int, int, str], dict[str, Callable[[], object]]], arguments: argparse.Namespace) -> None:
    """One table: the seconds and the ratios to the first, forward alone and with backward."""
    ways = build(arguments.images, arguments.size, arguments.device)
    first = next(iter(ways))
    print(f"\n| | forward | of {first} | forward and backward | of {first} |")
    print("| --- | ---: | ---: | ---: | ---: |")
    with torch.no_grad():
        forward = _alternate(ways, arguments.rounds, arguments.device)
    both = _alternate({name: _backward(way) for name, way in ways.items()}, arguments.rounds, arguments.device)
    for name in ways:
        cells = []
        for seconds in (forward, both):
            ratio = median(mine / its for mine, its in zip(seconds[name], seconds[first], strict=True))
            cells.append(f"{min(seconds[name]) * 1e3:.1f} ms | {ratio:.2f} x")
        print(f"| {name} | {' | '.join(cells)} |")


def _feed_forwards(images: int, size: int, device: str) -> dict[str, Callable[[], object]]:
    x_BHWC = torch.randn(images, size, size, DIM, device=device, requires_grad=True)
    counts = [len(range(task, images, TASKS)) for task in range(TASKS)]
    dense = FeedForward(DIM, HIDDEN).to(device)
    hard = HardMixture(DIM, HIDDEN, TASKS).to(device)
    soft = SoftMixture(DIM, HIDDEN, EXPERTS, 7).to(device)
    shares = soft.gate(_tokens(soft, x_BHWC)).argmax(1).unique()
    return {
        "a plain feed-forward": lambda: dense(x_BHWC),
        "hard mixture, mixed tasks": lambda: hard(x_BHWC, Routing(counts)),
        f"soft mixture, {len(shares)} of {EXPERTS} experts": lambda: soft(x_BHWC, Routing()),
        "its token and gate alone": lambda: soft.gate(_tokens(soft, x_BHWC)),
    }


def _tokens(soft: SoftMixture, x_BHWC: Tensor) -> Tensor:
    return soft.norm(soft.token(x_BHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(0, 2))


def _networks(images: int, size: int, device: str) -> dict[str, Callable[[], object]]:
    image_B3HW = torch.rand(images, 3, size, size, device=device)
    task_B = torch.arange(images, device=device) % TASKS
    ways: dict[str, Callable[[], object]] = {}
    depths = [6]  # one group of the six: the others cost the same
    swinir = SwinIR(depths=depths).to(device)
    ways["our SwinIR (one group)"] = lambda: swinir(image_B3HW)
    for name in ("damoe", "damoe_hard", "damoe_soft"):
        ways[name] = _bind(build_model(name, depths=depths).to(device), image_B3HW, task_B)
    try:
        from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR as Spandrels
    except ImportError:
        return ways
    settings = {"embed_dim": DIM, "num_heads": [6], "window_size": 7, "mlp_ratio": 2, "img_size": size}
    ways["spandrel's SwinIR"] = _bind(Spandrels(depths=depths, **settings).to(device), image_B3HW)
    return ways


def _bind(model: nn.Module, *inputs: Tensor) -> Callable[[], object]:
    return lambda: model(*inputs)


def _backward(way: Callable[[], object]) -> Callable[[], object]:
    def both() -> None:
        result = way()
        assert isinstance(result, Tensor)
        result.square().mean().backward()

    return both


def _alternate(ways: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one that isn't counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            start = _clock(device)
            way()
            seconds[name].append(_clock(device) - start)
    return {name: values[1:] for name, values in seconds.items()}


def _clock(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()
