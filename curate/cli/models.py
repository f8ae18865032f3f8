"""`curate models`: the restorers, their costs, and their weights in other forms."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from curate.cli.options import Format, Settings, check_format, new_console
from curate.storage.text_table import TextColumn, TextTable

__all__ = ["models_app"]

Height = Annotated[int, typer.Option(min=1, help="Height of the image, in pixels.")]
Width = Annotated[int, typer.Option(min=1, help="Width of the image, in pixels.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON: --format json.")]


class _ByName(TyperGroup):
    """Group of commands in which `curate models` alone lists, and `curate models NAME` shows."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        option = bool(args) and args[0].startswith("-")
        if not args or (option and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        elif args[0] not in self.commands and not option:
            args = ["show", *args]
        return super().parse_args(ctx, args)


models_app = typer.Typer(
    cls=_ByName,
    help="The restorers: what they take, and their weights in other forms. Alone it lists them.",
)


@models_app.command("list")
def list_(
    height: Height = 720, width: Width = 1280, form: Format = "table", json: Json = False
) -> None:
    """List the models: parameters, work and memory for an image, input, source.

    `curate models` does it, too.
    """
    from curate import restore
    from curate.cli.step_bar import StepProgress
    from curate.cli.tables import show
    from curate.restore.models import MODELS

    form = check_format("json" if json else form)
    entries = []
    # each is counted on a network without memory, which takes seconds
    with StepProgress(new_console(stderr=True), "count models") as steps:
        for name in MODELS:
            entries.append(asdict(restore.describe_model(name, height, width)))
            steps(len(entries), len(MODELS))
    columns = (
        TextColumn("model", ("name",), left=True),
        TextColumn("parameters", ("parameters",), "{:,}".format),
        TextColumn("trained", ("trained",), "{:,}".format),
        TextColumn(f"G MACs, {width}x{height}", _MACS, _giga),
        TextColumn("memory", ("activations",), _memory),
        TextColumn("input", ("input",), left=True),
        TextColumn("source", ("source",), left=True),
    )
    rows = [entry | _macs(entry) for entry in entries]
    show(TextTable(columns, rows, legend=_CONVENTION, content=entries), form)


@models_app.command("show")
def show_(
    name: Annotated[str, typer.Argument(help="A model's name; `curate models NAME` does it, too.")],
    height: Height = 720,
    width: Width = 1280,
    form: Format = "table",
    json: Json = False,
) -> None:
    """Show a model part by part: parameters, and multiply-accumulates for an image."""
    from curate import restore
    from curate.cli.tables import show

    form = check_format("json" if json else form)
    entry = asdict(restore.describe_model(name, height, width))
    rows = []
    for part, values in {**entry["parts"], "all": entry}.items():
        rows.append({"part": part, "parameters": values["parameters"], **_macs(values)})
    columns = [
        TextColumn("part", ("part",), left=True),
        TextColumn("parameters", ("parameters",), "{:,}".format),
    ]
    heading = f"MACs, {width}x{height}"
    if entry["macs"][0] == entry["macs"][1]:
        columns.append(TextColumn(heading, _MACS, lambda cheapest, dearest: f"{cheapest:,}"))
    else:
        columns.append(TextColumn(heading, _MACS[:1], "{:,}".format))
        columns.append(TextColumn("on the dearest experts", _MACS[1:], "{:,}".format))
    legend = [f"By {count}: {_giga(*macs)} G." for count, macs in entry["published"].items()]
    legend.append(
        f"Trained parameters: {entry['trained']:,}; memory: {_memory(entry['activations'])}; "
        f"input: {entry['input']}."
    )
    legend.append(_CONVENTION)
    title = f"{entry['name']}: {entry['source']}"
    show(TextTable(columns, rows, title, "\n".join(legend), entry), form)


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


_CONVENTION = (
    "MACs: multiply-accumulates of convolutions, linear layers and products of matrices, half of "
    "what PyTorch's FlopCounterMode counts; where experts differ, all on the cheapest and all on "
    "the dearest. Memory: 32-bit tensors that are there at once, at most, where a picture is taken "
    "whole; computed. Weights and kernels' own workspace come on top; on a CPU some networks take "
    "a picture by strips, and less memory."
)
_MACS = ("macs_cheapest", "macs_dearest")


def _macs(values: dict[str, Any]) -> dict[str, int]:
    return dict(zip(_MACS, values["macs"], strict=True))


def _giga(cheapest: int, dearest: int) -> str:
    low, high = (f"{count / 1e9:,.2f}" for count in (cheapest, dearest))
    return low if low == high else f"{low} to {high}"


def _memory(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
