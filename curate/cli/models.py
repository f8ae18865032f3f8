"""`curate models`: what the restorers are, and their weights in other forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from curate.cli.options import Settings, new_console

if TYPE_CHECKING:
    from curate.restore import ModelEntry

__all__ = ["models_app"]

Height = Annotated[int, typer.Option(min=1, help="Height of the image, in pixels.")]
Width = Annotated[int, typer.Option(min=1, help="Width of the image, in pixels.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


class _ByName(TyperGroup):
    """`curate models` alone lists; `curate models NAME` shows."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] == "--json":
            args = ["list", *args]
        elif args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


models_app = typer.Typer(
    cls=_ByName,
    help="The restorers: what they take, and their weights in other forms. Alone it lists them.",
)


@models_app.command("list")
def list_(height: Height = 720, width: Width = 1280, json: Json = False) -> None:
    """List the models: parameters, work and memory for an image, input, source. `curate models` does it, too."""
    from curate import restore
    from curate.restore.models import MODELS

    entries = [restore.describe_model(name, height, width) for name in MODELS]
    if json:
        _print_json(entries)
        return
    from curate.cli.tables import table

    columns = (
        "model",
        "parameters",
        "trained",
        f"G MACs, {width}x{height}",
        "memory",
        "input",
        "source",
    )
    rows = [
        (
            e.name,
            f"{e.parameters:,}",
            f"{e.trained:,}",
            _giga(e.macs),
            _memory(e.activations),
            e.input,
            e.source,
        )
        for e in entries
    ]
    shown = table("", columns, rows)
    for column in shown.columns[1:5]:
        column.justify = "right"
    console = new_console()
    console.print(shown)
    console.print(_CONVENTION)


@models_app.command()
def show(
    name: Annotated[str, typer.Argument(help="A model's name; `curate models NAME` does it, too.")],
    height: Height = 720,
    width: Width = 1280,
    json: Json = False,
) -> None:
    """Show a model part by part: parameters, and multiply-accumulates for an image."""
    from curate import restore

    entry = restore.describe_model(name, height, width)
    if json:
        _print_json(entry)
        return
    from curate.cli.tables import table

    columns = ["part", "parameters", f"MACs, {width}x{height}", "on the dearest experts"]
    rows = [
        [part, f"{p.parameters:,}", *(f"{count:,}" for count in p.macs)]
        for part, p in entry.parts.items()
    ]
    rows.append(["all", f"{entry.parameters:,}", *(f"{count:,}" for count in entry.macs)])
    kept = 3 if entry.macs[0] == entry.macs[1] else 4
    shown = table(f"{entry.name}: {entry.source}", columns[:kept], [row[:kept] for row in rows])
    for column in shown.columns[1:]:
        column.justify = "right"
    console = new_console()
    console.print(shown)
    for count, macs in entry.published.items():
        console.print(f"by {count}: {_giga(macs)} G")
    console.print(
        f"trained parameters: {entry.trained:,}; memory: {_memory(entry.activations)}; input: {entry.input}"
    )
    console.print(_CONVENTION)


@models_app.command()
def convert(
    weights: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="The authors' weights: .pth, .pt, .ckpt, .safetensors."
        ),
    ],
    model: Annotated[str, typer.Option("--model", help="Which model they are for.")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="Checkpoint to write, such as swinir.safetensors.")
    ],
    set_: Settings = [],
) -> None:
    """Make a checkpoint of weights that the authors of MoCE-IR, SwinIR or Restormer published."""
    from curate import restore
    from curate.config import override_key

    settings: dict[str, Any] = {}
    for override in set_:
        override_key(settings, override)
    info = restore.convert_weights(weights, model, out, **settings)
    print(f"weights      {out}")
    print(f"from         {info.origin}")


@models_app.command()
def export(
    checkpoint: Annotated[
        str, typer.Argument(help="Weights: model.safetensors of `curate train`.")
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="File to write.")],
    to: Annotated[str, typer.Option(help="onnx, or pt2: a program of PyTorch's.")] = "onnx",
    height: Annotated[
        int | None,
        typer.Option(min=1, help="Height of the images; an ONNX graph takes any size without."),
    ] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Width of the images.")] = None,
    route: Annotated[
        int | None,
        typer.Option(
            min=0, help="Expert that all decoder blocks of MoCE-IR take, from 0, the cheapest."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="What DAMoE does: sr, derain, denoise, dejpeg.")
    ] = None,
) -> None:
    """Write a trained restorer as a graph for other runtimes: one image in, one out."""
    from curate import restore

    restore.export_model(checkpoint, out, to=to, height=height, width=width, route=route, task=task)
    print(f"{to:<12} {out}")


_CONVENTION = """\
MACs: multiply-accumulates of convolutions, linear layers and products of matrices, half of what PyTorch's
FlopCounterMode counts; where experts differ, all on the cheapest and all on the dearest. Memory: 32-bit tensors
that are there at once, at most, where a picture is taken whole; computed. Weights and kernels' own workspace
come on top; on a CPU some networks take a picture by strips, and less memory."""


def _giga(macs: tuple[int, int]) -> str:
    low, high = (f"{count / 1e9:,.2f}" for count in macs)
    return low if low == high else f"{low} to {high}"


def _memory(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _print_json(what: ModelEntry | list[ModelEntry]) -> None:
    import json
    from dataclasses import asdict

    print(
        json.dumps(
            [asdict(entry) for entry in what] if isinstance(what, list) else asdict(what), indent=2
        )
    )
