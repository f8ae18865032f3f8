"""Cost of the restorers: MOE-IR_30G beside its plain form, mixtures beside a plain feed-forward.

    python -m benchmarks.models [--images 4] [--size 84] [--rounds 7] [--threads 2]
                                [--device cuda] [--half]

The compared models alternate in one process, on an otherwise idle machine; a ratio is the median
over the rounds of the ratios of neighbours in time. The plain form is
`tests/restore/plain_moce_ir.py`, which the tests compare with ours.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from curate.restore.models import SwinIR, build_model
from curate.restore.models.damoe import HardMixture, SoftMixture
from curate.restore.models.swinir import FeedForward, MixtureContext
from tests.restore.plain_moce_ir import plain_moce_ir

DIM, HIDDEN, EXPERTS, TASKS = 180, 360, 16, 4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--images", type=int, default=4, help="images of the batch; every task in turn"
    )
    parser.add_argument(
        "--size", type=int, default=84, help="their sides in pixels, a multiple of 7"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--half", action="store_true", help="in bfloat16, as mixed precision has it"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    with torch.autocast(arguments.device, torch.bfloat16, enabled=arguments.half):
        for images, height, width, backward in ((4, 128, 128, True), (1, 720, 1280, False)):
            methods = _plain_and_ours(images, height, width, arguments.device)
            _print(methods, arguments, f"MOE-IR_30G, {images} of {width}x{height}", backward)
        _print(_feed_forwards(arguments.images, arguments.size, arguments.device), arguments)
        _print(_networks(arguments.images, arguments.size, arguments.device), arguments)


def _print(
    methods: dict[str, Callable[[], object]],
    arguments: argparse.Namespace,
    title: str = "",
    backward: bool = True,
) -> None:
    """One table: the seconds and the ratios to the first, forward alone and with backward."""
    first = next(iter(methods))
    columns = [
        "forward",
        f"of {first}",
        *(["forward and backward", f"of {first}"] if backward else []),
    ]
    print(f"\n| {title} | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}")
    with torch.no_grad():
        measured = [_alternate(methods, arguments.rounds, arguments.device)]
    if backward:
        both = {name: _backward(method) for name, method in methods.items()}
        measured.append(_alternate(both, arguments.rounds, arguments.device))
    for name in methods:
        cells = []
        for seconds in measured:
            ratio = median(
                mine / its for mine, its in zip(seconds[name], seconds[first], strict=True)
            )
            cells.append(f"{min(seconds[name]) * 1e3:.1f} ms | {ratio:.2f} x")
        print(f"| {name} | {' | '.join(cells)} |")


def _plain_and_ours(
    images: int, height: int, width: int, device: str
) -> dict[str, Callable[[], object]]:
    """Every image through the cheapest experts."""
    model = build_model("moe_ir_30g").to(device).eval()
    image_B3HW = torch.rand(images, 3, height, width, device=device)
    with torch.no_grad():
        ours_B3HW = model(image_B3HW, route=0)
        difference = float((ours_B3HW - plain_moce_ir(model, image_B3HW, 0)[0]).abs().max())
    print(f"\n{images} of {width}x{height}: within {difference:.1g} of the plain form", end="")
    if device == "cpu":
        with multiprocessing.get_context("spawn").Pool(1) as fresh:
            print(
                f", {fresh.apply(_extra_mb, (images, height, width)):.0f} MB "
                "over the process with the model",
                end="",
            )
    print()
    return {
        "the plain form": lambda: plain_moce_ir(model, image_B3HW, 0)[0],
        "ours": lambda: model(image_B3HW, route=0),
    }


def _extra_mb(images: int, height: int, width: int) -> float:
    """Return the peak memory of a forward pass over what its process has before."""
    model = build_model("moe_ir_30g").eval()
    image_B3HW = torch.rand(images, 3, height, width)
    with torch.no_grad():
        model(image_B3HW[:1, :, :64, :64], route=0)
        before = _peak_mb()
        model(image_B3HW, route=0)
    return _peak_mb() - before


def _peak_mb() -> float:
    # ru_maxrss would begin with what the process had that started this one
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024


def _feed_forwards(images: int, size: int, device: str) -> dict[str, Callable[[], object]]:
    x_BHWC = torch.randn(images, size, size, DIM, device=device, requires_grad=True)
    counts = [len(range(task, images, TASKS)) for task in range(TASKS)]
    dense = FeedForward(DIM, HIDDEN).to(device)
    hard = HardMixture(DIM, HIDDEN, TASKS).to(device)
    soft = SoftMixture(DIM, HIDDEN, EXPERTS, 7).to(device)
    shares = soft.gate(_tokens(soft, x_BHWC)).argmax(1).unique()
    return {
        "a plain feed-forward": lambda: dense(x_BHWC),
        "hard mixture, mixed tasks": lambda: hard(x_BHWC, MixtureContext(counts)),
        f"soft mixture, {len(shares)} of {EXPERTS} experts": lambda: soft(x_BHWC, MixtureContext()),
        "its token and gate alone": lambda: soft.gate(_tokens(soft, x_BHWC)),
    }


def _tokens(soft: SoftMixture, x_BHWC: Tensor) -> Tensor:
    return soft.norm(soft.token(x_BHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(0, 2))


def _networks(images: int, size: int, device: str) -> dict[str, Callable[[], object]]:
    image_B3HW = torch.rand(images, 3, size, size, device=device)
    task_B = torch.arange(images, device=device) % TASKS
    methods: dict[str, Callable[[], object]] = {}
    depths = [6]  # one group of the six: the others cost the same
    swinir = SwinIR(depths=depths).to(device)
    methods["our SwinIR (one group)"] = lambda: swinir(image_B3HW)
    for name in ("damoe", "damoe_hard", "damoe_soft"):
        methods[name] = _bind(build_model(name, depths=depths).to(device), image_B3HW, task_B)
    try:
        from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR as Spandrels
    except ImportError:
        return methods
    settings = {
        "embed_dim": DIM,
        "num_heads": [6],
        "window_size": 7,
        "mlp_ratio": 2,
        "img_size": size,
    }
    methods["spandrel's SwinIR"] = _bind(
        Spandrels(depths=depths, **settings).to(device), image_B3HW
    )
    return methods


def _bind(model: nn.Module, *inputs: Tensor) -> Callable[[], object]:
    return lambda: model(*inputs)


def _backward(method: Callable[[], object]) -> Callable[[], object]:
    def both() -> None:
        result = method()
        assert isinstance(result, Tensor)
        result.square().mean().backward()

    return both


def _alternate(
    methods: dict[str, Callable[[], object]], rounds: int, device: str
) -> dict[str, list[float]]:
    """Return the seconds of each method in each round, after one that isn't counted."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds + 1):
        for name, method in methods.items():
            start = _clock(device)
            method()
            seconds[name].append(_clock(device) - start)
    return {name: values[1:] for name, values in seconds.items()}


def _clock(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()
