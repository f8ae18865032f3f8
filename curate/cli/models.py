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
Json = Annotated[bool, typer.Option("--json", help="Print JSON; the same as --format json.")]


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
    help="List restorers and their costs, convert published weights, and export trained ones.",
)


@models_app.command("list")
def list_(
    height: Height = 720, width: Width = 1280, form: Format = "table", json: Json = False
) -> None:
    """List the models with their parameters, and their work and memory for an image.

    `curate models` does the same.
    """
    from curate.cli.tables import show
    from curate.restore.model_figures import known_figures

    form = check_format("json" if json else form)
    entries = [*known_figures(height, width).values()] or _count_models(height, width)
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
    name: Annotated[
        str, typer.Argument(help="Name of the model; `curate models NAME` does the same.")
    ],
    height: Height = 720,
    width: Width = 1280,
    form: Format = "table",
    json: Json = False,
) -> None:
    """Show the parameters and the multiply-accumulates of each part of a model."""
    from curate import restore
    from curate.cli.tables import show
    from curate.restore.model_figures import known_figures

    form = check_format("json" if json else form)
    entry = known_figures(height, width).get(name)
    if entry is None:
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
        typer.Argument(metavar="FILE", help="Published weights: .pth, .pt, .ckpt or .safetensors."),
    ],
    model: Annotated[
        str, typer.Option("--model", help="Name of their model; see `curate models`.")
    ],
    out: Annotated[
        str, typer.Option("--out", "-o", help="Checkpoint to write, such as swinir.safetensors.")
    ],
    set_: Settings = [],
) -> None:
    """Convert published weights of MoCE-IR, SwinIR or Restormer into a checkpoint."""
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
    to: Annotated[str, typer.Option(help="Format: onnx, or pt2 for a PyTorch program.")] = "onnx",
    height: Annotated[
        int | None,
        typer.Option(min=1, help="Height of the images; without it an ONNX graph takes any size."),
    ] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Width of the images.")] = None,
    route: Annotated[
        int | None,
        typer.Option(
            min=0, help="Expert that all decoder blocks of MoCE-IR use; 0 is the cheapest."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Task of DAMoE: sr, derain, denoise or dejpeg.")
    ] = None,
) -> None:
    """Export a trained restorer for other runtimes, as a graph from an image to an image."""
    from curate import restore

    restore.export_model(checkpoint, out, to=to, height=height, width=width, route=route, task=task)
    print(f"{to:<12} {out}")


def _count_models(height: int, width: int) -> list[dict[str, Any]]:
    """Return the fields of every model's entry; each takes seconds, on a network without memory."""
    from curate import restore
    from curate.cli.step_bar import StepProgress
    from curate.restore.models import MODELS

    entries: list[dict[str, Any]] = []
    with StepProgress(new_console(stderr=True), "count models") as steps:
        for name in MODELS:
            entries.append(asdict(restore.describe_model(name, height, width)))
            steps(len(entries), len(MODELS))
    return entries


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
