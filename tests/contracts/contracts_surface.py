"""Public surface as JSON values, which must not change without a decision record.

`python tests/contracts/contracts_surface.py` writes surface.json again, for a change that a
decision record covers.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import safetensors
import torch
import typer
from pydantic import BaseModel

import curate
from curate.cli.app import app
from curate.cli.event_log import EVENTS
from curate.config import fingerprint
from curate.engine import Progress
from curate.errors import Reason
from curate.manifest.schema import LEDGER, MANIFEST, PAIRED, SCHEMA_VERSION
from curate.recipe import Recipe
from curate.restore import TrainRecipe
from curate.restore.checkpoints.checkpoint import CheckpointInfo, save_model
from curate.restore.data.degradations import parse_degradation
from curate.restore.models import build_model
from curate.stages.chain import SHARD_STAGES

SURFACE = Path(__file__).with_name("surface.json")
RECIPES = ("demo", "hq50k", "laion_hr", "restoration_strict", "tiles")
TRAINING_RECIPES = ("airnet", "damoe", "demo", "moe_ir_30g", "restormer", "swinir")
MODELS = ("airnet", "damoe", "moce_ir_s", "moe_ir_30g", "restormer", "swinir")
DEGRADATIONS = (
    "denoise_25", "poisson_30", "sensor_500", "camera_500", "dejpeg_10", "sr_x4", "derain_heavy",
    "blur_motion_15", "blur_shake_31", "blur_disk_3", "lowlight_10", "gamma_2",
    "blur_motion_15+dejpeg_40+8bit",
)  # fmt: skip


def python_names() -> dict[str, Any]:
    """Public names of `curate`: parameters with defaults, and the attributes of classes."""
    return {
        name: _describe(getattr(curate, name)) for name in curate.__all__ if name != "__version__"
    }


def _describe(value: Any) -> Any:
    if isinstance(value, type):
        parameters = [] if issubclass(value, Exception) else _parameters(value)
        return {"parameters": parameters, "attributes": _attributes(value)}
    result = _return_type(value)
    found: dict[str, Any] = {"parameters": _parameters(value)}
    if isinstance(result, type) and result.__module__.startswith("curate."):
        found["returns"] = {"name": result.__name__, "attributes": _attributes(result)}
    return found


def _return_type(function: Callable[..., Any]) -> Any:
    try:
        return get_type_hints(function).get("return")
    except NameError:  # an annotation that only type checkers import
        return None


def _parameters(function: Callable[..., Any]) -> list[str]:
    return [
        f"{p.kind.name.lower()} {p.name}"
        + ("" if p.default is p.empty else f" = {_default(p.default)}")
        for p in inspect.signature(function).parameters.values()
    ]


def _default(value: Any) -> str:
    return value.__name__ if callable(value) else repr(value)


def _attributes(kind: type) -> list[str]:
    fields = {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    if issubclass(kind, BaseModel):
        return sorted(kind.model_fields)
    return sorted(fields | {name for name in vars(kind) if not name.startswith("_")})


def commands() -> dict[str, Any]:
    """Every command's arguments and options."""
    return dict(_commands(typer.main.get_command(app), "curate"))


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix} {name}")
            continue
        yield f"{prefix} {name}", sorted(_option(parameter) for parameter in command.params)


def _option(parameter: Any) -> str:
    names = "/".join([*parameter.opts, *parameter.secondary_opts])
    facts = {"flag": parameter.is_flag} if parameter.param_type_name == "option" else {}
    facts |= {
        "required": parameter.required,
        "nargs": parameter.nargs,
        "default": parameter.default or None,
    }
    facts["repeated"] = getattr(parameter, "multiple", False)
    options = ", ".join(
        f"{name} {value}" for name, value in facts.items() if value not in (None, False)
    )
    return f"{parameter.param_type_name} {names}: {options}"


def settings() -> dict[str, Any]:
    """Every setting of a recipe with its default, by its dotted name."""
    return {
        kind.__name__: dict(sorted(_settings(kind.model_json_schema())))
        for kind in (Recipe, TrainRecipe)
    }


def _settings(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for group, definition in {"": schema, **schema["$defs"]}.items():
        for name, field in definition.get("properties", {}).items():
            yield f"{group}.{name}".lstrip("."), field.get("default")


def fingerprints() -> dict[str, str]:
    """Fingerprints of the shipped recipes, and of each stage of the shard stages by them."""
    found = {name: fingerprint(Recipe.load(name).essence()) for name in RECIPES}
    for name in RECIPES:
        for stage in SHARD_STAGES:
            if (name, stage) != ("demo", "label"):  # names the bundled weights by their hash
                found[f"{name} {stage}"] = SHARD_STAGES[stage](Recipe.load(name)).fingerprint
    for name in TRAINING_RECIPES:
        found[f"train/{name}"] = fingerprint(
            TrainRecipe.load(f"train/{name}").model_dump(mode="json")
        )
    return found


def events() -> dict[str, Any]:
    """Return events of `--log-json` with their fields, and callbacks of Progress."""
    callbacks = {
        name: _parameters(f) for name, f in vars(Progress).items() if not name.startswith("_")
    }
    return {
        "log": {name: sorted(fields) for name, (_, fields) in EVENTS.items()},
        "progress": callbacks,
    }


def tables() -> dict[str, Any]:
    """Columns of manifests and ledgers, reasons, and what checkpoints say of themselves."""
    columns = {"manifest": MANIFEST, "ledger": LEDGER, "paired": PAIRED}
    return {
        "schema": SCHEMA_VERSION,
        **{
            name: [f"{c.name} {c.type} {c.required}" for c in table]
            for name, table in columns.items()
        },
        "reasons": [f"{reason.value} {reason.stage} {reason.transient}" for reason in Reason],
        "checkpoint": sorted(CheckpointInfo.model_fields),
        "checkpoint_metadata": _metadata_keys(),
    }


def _metadata_keys() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        save_model(path, {"weight": torch.zeros(1)}, CheckpointInfo(model="moe_ir_30g"))
        with safetensors.safe_open(path, "pt") as file:
            return sorted(file.metadata())


def golden_numbers() -> dict[str, Any]:
    """Return numbers that follow from code alone: parameters, keys of weights, degradations."""
    models = {name: build_model(name) for name in MODELS}
    parameters = {
        name: sum(p.numel() for p in model.parameters()) for name, model in models.items()
    }
    weights = {name: fingerprint(sorted(model.state_dict())) for name, model in models.items()}
    degradations = {name: parse_degradation(name) for name in DEGRADATIONS}
    known = {name: f"{d.name} {d.task} {d.multiple} {d.grid}" for name, d in degradations.items()}
    return {"parameters": parameters, "weights": weights, "degradations": known}


PARTS: dict[str, Callable[[], Any]] = {
    "python": python_names,
    "commands": commands,
    "settings": settings,
    "fingerprints": fingerprints,
    "events": events,
    "tables": tables,
    "golden": golden_numbers,
}


def read_off(part: str) -> Any:
    """A part of the surface as it is now."""
    return json.loads(json.dumps(PARTS[part](), default=str))


if __name__ == "__main__":
    surface = {part: read_off(part) for part in PARTS}
    SURFACE.write_text(json.dumps(surface, indent=1, ensure_ascii=False) + "\n")
    sys.stdout.write(f"{SURFACE}\n")
