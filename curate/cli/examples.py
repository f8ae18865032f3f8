"""An example of each command, and its how-to page, for the end of its `--help`."""

from __future__ import annotations

import typer

__all__ = ["EXAMPLES", "add_examples"]

EXAMPLES: dict[str, tuple[str, str]] = {
    "run": ("hq50k --input urls.txt --out runs/mine", "own-urls"),
    "probe": ("hq50k --input urls.txt --out runs/mine", "before-a-long-run"),
    "review": ("runs/mine --open", "review-by-eye"),
    "find": ('runs/mine "a map" --page maps.html', "find-images"),
    "stats": ("photos runs/mine", "compare-datasets"),
    "ingest": ("DIV2K data/DIV2K --out manifests/DIV2K", "real-pairs"),
    "export": ("runs/mine --out tars --to webdataset", "export-images"),
    "grow": ("runs/mine --input more.txt", "grow-a-dataset"),
    "remove": ("runs/mine --hosts hosts.txt", "remove-images"),
    "verify": ("runs/mine --sample 1000", "verify-a-dataset"),
    "rebuild": ("mine.parquet --out runs/again", "rebuild-from-urls"),
    "ablate": ("runs/mine --out ablation", "ablate"),
    "train": (
        "train/moe_ir_30g --manifest runs/mine/manifest/train.parquet --out restorer",
        "train-a-restorer",
    ),
    "evaluate": ("restorer/best.safetensors -b photos -d denoise_25", "judge-a-restorer"),
    "restore": ("photos --out restored -c restorer/best.safetensors", "restore-pictures"),
    "demo": ("--out demo-run", "own-urls"),
    "evaluate-labels": ("sorted-pictures --recipe hq50k", "offline-clip-weights"),
    "candidates": ("hq50k --input urls.txt --out runs/mine", "own-urls"),
    "fetch": ("runs/mine --retry transient", "when-something-fails"),
    "measure": ("runs/mine --workers 4", "own-urls"),
    "label": ("runs/mine --set filters.min.bpp=2", "write-a-recipe"),
    "match": ("runs/mine", "duplicates-and-benchmarks"),
    "select": ("runs/mine --set select.train=10000", "write-a-recipe"),
    "report": ("runs/mine", "read-the-report"),
    "models list": ("--height 256 --width 256", "train-a-restorer"),
    "models show": ("moe_ir_30g", "train-a-restorer"),
    "models convert": ("theirs.pth --model swinir --out swinir.safetensors", "train-a-restorer"),
    "models export": ("restorer/best.safetensors --out restorer.onnx", "export-a-model"),
    "manifest validate": ("runs/mine --bytes", "publish-a-manifest"),
    "manifest show": ("runs/mine --rows 3", "publish-a-manifest"),
    "manifest diff": ("old.parquet new.parquet", "combine-manifests"),
    "manifest merge": ("one.parquet two.parquet --out both.parquet", "combine-manifests"),
    "manifest sample": ("runs/mine 1000 --out few.parquet", "combine-manifests"),
    "manifest query": (
        '"SELECT reason, count(*) FROM ledger GROUP BY reason" runs/mine',
        "combine-manifests",
    ),
    "decontaminate build": ("Manga109 data/Manga109", "duplicates-and-benchmarks"),
}
"""Command -> the rest of its example, and the page under docs/how-to."""


def add_examples(app: typer.Typer, prefix: str = "") -> None:
    """End the help of every command of an app, and of its groups, with an example and a page."""
    for command in app.registered_commands:
        name = prefix + str(command.name or getattr(command.callback, "__name__", ""))
        rest, page = EXAMPLES[name]
        command.epilog = f"Example: curate {name} {rest}\n\nMore: docs/how-to/{page}.md"
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_examples(group.typer_instance, f"{prefix}{group.name} ")
