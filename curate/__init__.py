"""curate: restoration-grade image datasets from crawled URLs, and the restorers trained on them.

    run                curate: URLs in, manifest out
    grow               add candidates to a finished run
    remove             take images out of a run, for good
    find               find images of a run that are like a text or another image
    probe              forecast the yield and cost of a run from a sample
    Recipe             settings of a curation run
    measure_image      measure format, bits per pixel and high-frequency ratios of an image
    high_frequency_ratios
                       compute eqs. (3) to (6) of the HQ-50K paper
    label_images       label images with categories, by CLIP
    evaluate_labels    measure accuracy and calibration of labels on your own pictures
    ingest             write manifests of a known dataset, with clean and degraded pairs
    stats              compute the paper's Table 2 for folders, manifests and runs
    ablate             write subsets of a run that differ in one aspect: the paper's Table 9
    Ablation           settings of such subsets
    read_manifest      read a manifest, and the image bytes behind its rows
    write_manifest     write a table of images as a manifest
    find_faults        find rows that break a manifest's schema
    export_manifest    export a manifest for publication or other tools
    verify             check that a dataset's URLs still serve its images
    rebuild            fetch a published dataset again and compare its hashes
    TrainRecipe        settings of a training
    train              train a restorer from manifests
    build_model        build an untrained restorer
    describe_model     count a model's parameters, operations and memory
    load_model         load a trained restorer
    export_model       export a restorer to ONNX, or as a PyTorch program
    convert_weights    convert a network's published weights to a checkpoint
    evaluate           measure PSNR, SSIM and PSNR-B before and after restoration
    summary_table      tabulate the means with intervals
    paper_tables       fill tables of the HQ-50K paper beside its own figures
    degradations_for   list the degradations of such a table
    restore_image      restore one picture
    restore_files      restore files and folders
    find_task          find the task that a picture needs, for restorers that take one
    CurateError        root of every error that a user can cause or mend

Importing the package loads nothing heavy: each name loads its part on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from curate._version import __version__
from curate.errors import CurateError

if TYPE_CHECKING:
    from curate.datasets.ablation import Ablation, ablate
    from curate.datasets.ingestion import ingest
    from curate.datasets.statistics import stats
    from curate.manifest import export_manifest, find_faults, read_manifest, write_manifest
    from curate.pipeline import grow, rebuild, remove, verify
    from curate.pipeline.execute import run
    from curate.pipeline.finding import find
    from curate.pipeline.probe.probe import probe
    from curate.recipe import Recipe
    from curate.restore import (
        TrainRecipe,
        build_model,
        convert_weights,
        degradations_for,
        describe_model,
        evaluate,
        export_model,
        load_model,
        paper_tables,
        restore_files,
        restore_image,
        summary_table,
        train,
    )
    from curate.stages.label.clip import label_images
    from curate.stages.label.evaluation import evaluate_labels
    from curate.stages.measure import high_frequency_ratios, measure_image
    from curate.stages.measure.restoration_task import find_task

__all__ = [
    "Ablation",
    "CurateError",
    "Recipe",
    "TrainRecipe",
    "__version__",
    "ablate",
    "build_model",
    "convert_weights",
    "degradations_for",
    "describe_model",
    "evaluate",
    "evaluate_labels",
    "export_manifest",
    "export_model",
    "find",
    "find_faults",
    "find_task",
    "grow",
    "high_frequency_ratios",
    "ingest",
    "label_images",
    "load_model",
    "measure_image",
    "paper_tables",
    "probe",
    "read_manifest",
    "rebuild",
    "remove",
    "restore_files",
    "restore_image",
    "run",
    "stats",
    "summary_table",
    "train",
    "verify",
    "write_manifest",
]

_HOMES = {
    "Ablation": "datasets.ablation",
    "Recipe": "recipe",
    "TrainRecipe": "restore",
    "ablate": "datasets.ablation",
    "build_model": "restore",
    "convert_weights": "restore",
    "degradations_for": "restore",
    "describe_model": "restore",
    "evaluate": "restore",
    "evaluate_labels": "stages.label.evaluation",
    "export_manifest": "manifest",
    "export_model": "restore",
    "find": "pipeline.finding",
    "find_faults": "manifest",
    "find_task": "stages.measure.restoration_task",
    "grow": "pipeline",
    "high_frequency_ratios": "stages.measure",
    "ingest": "datasets.ingestion",
    "label_images": "stages.label.clip",
    "load_model": "restore",
    "measure_image": "stages.measure",
    "paper_tables": "restore",
    "probe": "pipeline.probe",
    "read_manifest": "manifest",
    "rebuild": "pipeline",
    "remove": "pipeline",
    "restore_files": "restore",
    "restore_image": "restore",
    "run": "pipeline.execute",
    "stats": "datasets.statistics",
    "summary_table": "restore",
    "train": "restore",
    "verify": "pipeline",
    "write_manifest": "manifest",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'curate' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"curate.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
