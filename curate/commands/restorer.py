"""`curate train`, `evaluate` and `restore`."""

from __future__ import annotations

from typing import Annotated

import typer

from curate.commands.terminal import Settings, new_console
from curate.errors import CurateError

__all__ = ["evaluate", "restore", "train"]


def train(
    recipe: Annotated[
        str, typer.Argument(help="Recipe: a YAML file, or a shipped one's name such as train/moe_ir_30g.")
    ],
    manifest: Annotated[
        list[str],
        typer.Option(
            "--manifest",
            "-m",
            help="Manifest, or folder of pictures, as NAME=... where the recipe's data names it; may be repeated.",
        ),
    ],
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder for weights, logs and the state to resume from.")
    ] = "restorer",
    set_: Settings = [],  # noqa: B006
    restart: Annotated[bool, typer.Option("--restart", help="Start anew, whatever is there.")] = False,
) -> None:
    """Train a restorer from manifests. The same command again goes on where the last one stopped."""
    from curate import restore
    from curate.console import StepProgress

    with StepProgress(new_console(), "train") as steps:
        settings = restore.TrainRecipe.load(recipe, set_)
        result = restore.train(settings, manifest, out, resume=not restart, progress=steps, notice=steps.say)
    if not result.leads:
        return
    if not result.trained:
        print(f"finished before, after {result.steps} steps")
    if result.pace:
        print(f"patches      {result.pace}")
    print(f"weights      {result.checkpoint}")
    print(f"best weights {result.best}")
    if "psnr" in result.metrics:
        print(f"validation   PSNR {result.metrics['psnr_before']:.2f} -> {result.metrics['psnr']:.2f} dB")


def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="Weights: model.safetensors of `curate train`.")],
    pictures: Annotated[str, typer.Argument(help="Manifest, or folder of clean pictures.")],
    degradation: Annotated[list[str], typer.Option("--degradation", "-d", help="Such as denoise_25; may be repeated.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures to take, from the first.")] = None,
) -> None:
    """Degrade pictures, restore them, and print PSNR and SSIM before and after."""
    from curate import restore
    from curate.console import StepProgress, table

    console = new_console()
    with StepProgress(console, "evaluate") as steps:
        rows = restore.evaluate(
            checkpoint, pictures, degradation, limit=limit, progress=lambda done, total, _: steps(done, total)
        )
    columns = ("degradation", "image", "PSNR before", "PSNR", "PSNR-Y before", "PSNR-Y", "SSIM before", "SSIM")
    console.print(table(checkpoint, columns, [tuple(vars(row).values()) for row in rows]))


def restore(
    inputs: Annotated[list[str], typer.Argument(metavar="IN...", help="Picture files and folders of them.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Folder, or a file for one input.")],
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", "-c", help="Weights: model.safetensors of `curate train`.")
    ],
    degrade: Annotated[
        str | None, typer.Option(help="Spoil the pictures first, such as denoise_25: for trials.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="What DAMoE is to do: sr, derain, denoise or dejpeg. Other models need none.")
    ] = None,
    tile: Annotated[
        int | None, typer.Option(min=16, help="Side of the pieces to restore at a time, in pixels.")
    ] = None,
) -> None:
    """Restore pictures. A broken file is reported, and the others are restored."""
    from curate import restore
    from curate.console import StepProgress

    with StepProgress(new_console(), "restore") as steps:
        results = restore.restore_files(
            checkpoint,
            inputs,
            out,
            degrade=degrade,
            task=task,
            tile=tile,
            progress=lambda done, total, _: steps(done, total),
        )
    failed = [result for result in results if result.output is None]
    print(f"{len(results) - len(failed)} of {len(results)} restored, in {out}")
    if failed:
        raise CurateError("\n".join(f"{result.source}: {result.error}" for result in failed))
