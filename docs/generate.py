"""Write the pages of docs/reference/ from the code: python docs/generate.py

Only the code names settings, columns, reasons, commands and functions; these pages repeat it for
readers. A test fails when they fall behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard, get_args, get_origin

import typer

import curate
from curate import manifest, restore
from curate.cli.app import app
from curate.cli.event_log import EVENTS
from curate.cli.examples import EXAMPLES
from curate.config import Config
from curate.datasets.ingestion import Ingested
from curate.datasets.statistics import BadFile, Survey
from curate.engine.runner import StageOutcome
from curate.errors import Reason
from curate.manifest.schema import LEDGER, MANIFEST, PAIRED, SCHEMA_VERSION
from curate.manifest.statistics import Statistics
from curate.pipeline import execute, probe
from curate.recipe import Recipe
from curate.restore.recipe import TrainRecipe
from curate.stages import measure
from curate.stages.label.clip import LabelResult
from curate.stages.label.evaluation import CategoryScore, LabelEvaluation, LabelledPicture, ScoreBin

FOLDER = Path(__file__).parent / "reference"
WIDTH = 100
NOTE = "<!-- Written by docs/generate.py from the code; change the code, then run it. -->\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def sentence(text: str) -> str:
    """Join a description into one line."""
    return " ".join(text.split())


# --- recipes


def recipe_page(recipe: type[Config], title: str, intro: str) -> str:
    """Write the page of a recipe's settings, a table for each group."""
    schema = recipe.model_json_schema()
    parts = [f"{NOTE}# {title}\n\n{intro.strip()}\n"]
    parts += _groups(recipe, schema, schema["$defs"], "")
    return "\n".join(parts)


def _groups(
    config: type[Config], schema: dict[str, Any], definitions: dict[str, Any], prefix: str
) -> Iterator[str]:
    required = set(schema.get("required", ()))
    rows: list[tuple[str, ...]] = []
    inner: list[tuple[type[Config], str]] = []
    for name, field in schema["properties"].items():
        kind = config.model_fields[name].annotation
        if _is_group(kind):
            inner.append((kind, f"{prefix}{name}."))
            continue
        inner += [(item, f"{prefix}{name}{place}") for item, place in _inner_groups(kind)]
        default = "*required*" if name in required else f"`{_yaml(field.get('default'))}`"
        meaning = sentence(field.get("description", ""))
        rows.append((f"`{prefix}{name}`", _type(field), default, meaning))
    heading = "## At the top\n\n"
    if prefix:
        heading = f"## {prefix.rstrip('.')}\n\n{sentence(schema['description'])}\n\n"
    text = heading + table(("setting", "type", "default", "meaning"), rows)
    if free := [name for name in schema["properties"] if name in config.incidental]:
        names = ", ".join(f"`{prefix}{name}`" for name in free)
        text += f"\nMay change when a run resumes, since no result depends on it: {names}.\n"
    yield text
    for kind, path in inner:
        yield from _groups(kind, definitions[kind.__name__], definitions, path)


def _inner_groups(kind: Any, place: str = "[].") -> Iterator[tuple[type[Config], str]]:
    """Yield groups within a list, a mapping or a union, and how a path names their place there."""
    place = ".NAME." if get_origin(kind) is dict else place
    for item in get_args(kind):
        if _is_group(item):
            yield item, place
        else:
            yield from _inner_groups(item, place)


def _is_group(kind: Any) -> TypeGuard[type[Config]]:
    return isinstance(kind, type) and issubclass(kind, Config)


def _type(field: dict[str, Any]) -> str:
    """Describe a JSON schema in words."""
    if "$ref" in field:
        return f"`{field['$ref'].rpartition('/')[2]}`"
    if parts := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(map(_type, parts))
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    match field.get("type"):
        case "array" if "prefixItems" in field:
            return f"[{', '.join(_type(item) for item in field['prefixItems'])}]"
        case "array":
            return f"list of {_type(field['items'])}"
        case "object" if isinstance(field.get("additionalProperties"), dict):
            return f"mapping of text to {_type(field['additionalProperties'])}"
        case "object":
            return "mapping"
        case "integer":
            return f"integer{_bounds(field)}"
        case "number":
            return f"number{_bounds(field)}"
        case "boolean":
            return "`true` or `false`"
        case "string":
            return "text" + (f" matching `{field['pattern']}`" if "pattern" in field else "")
        case "null":
            return "`null`"
    raise ValueError(f"no words for {field}")


def _bounds(field: dict[str, Any]) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    found = [f"{sign} {field[key]:,}" for key, sign in signs.items() if key in field]
    return f" {', '.join(found)}" if found else ""


def _yaml(value: Any) -> str:
    """Format a default as in a recipe."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{k}: {_yaml(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_yaml, value)) + "]"
    return str(value)


# --- tables of the code


def manifest_page() -> str:
    """Write the page of columns of manifest and ledger."""
    known = {column.name for column in MANIFEST}

    def rows(columns: Iterable[manifest.Column]) -> Iterator[tuple[str, ...]]:
        for c in columns:
            required = "never null" if c.required else ""
            yield f"`{c.name}`", f"`{c.type}`", c.unit, required, c.stage, c.meaning

    header = ("column", "type", "unit", "", "from", "meaning")
    return f"""{NOTE}# Manifest, schema {SCHEMA_VERSION}

A manifest is a Parquet file: one row for each image that was chosen. `curate run` writes `manifest/train.parquet` and
`manifest/test.parquet`; `curate manifest validate` holds a file to what stands here, and `curate export` makes the list
to publish. *From* is the stage of a run that a value comes from.

{table(header, rows(MANIFEST))}
Columns of the input's own (`candidates.keep`, further `measure.cutoffs`, `claimed_width`, `claimed_height`) and scores
(`score_<name>` of `label.scores` and `label.heads`, float32) follow after these, when there is anything in them. A column that has no value for a row is null there.

## Pairs

A *paired manifest*, as `curate ingest` writes it, has rows that also point at a degraded image of the same size. It has
these columns too; a row whose `degraded_sha256` is null is of a clean image alone. A clean image that has several
degraded ones is in several rows, each with the id of the degraded image's URL. How to get one: [Train on real
pairs](../how-to/real-pairs.md).

{table(header, rows(PAIRED))}
## The ledger

`ledger/*.parquet` has a row for every candidate there ever was, kept or not. It has the columns above, of which only
`id` and `url` are never null, those of the input's own, and

{table(header, rows(c for c in LEDGER if c.name not in known))}
The reasons are [a closed list](reasons.md).

## The file's own metadata

| key | value |
| --- | --- |
| `curate.schema` | version of this schema; another first number is refused, an older second one lacks columns |
| `curate.code` | version of curate that wrote the file |
| `curate.recipe` | the whole recipe as YAML, every default spelled out |
| `curate.recipe_name`, `curate.recipe_fingerprint` | its name, and SHA-256 of the settings that results depend on |
| `curate.seed` | seed of every random choice |
| `curate.merged`, `curate.sample`, `curate.crops` | what it was made of, if anything, and how |
| `curate.ingested` | name of the dataset, where `curate ingest` made it |
| `curate.rebuilt` | the fingerprint of the published manifest that it was rebuilt from, and what had to be the same |
| `curate.root` | the folder that `tar` is relative to, as seen from the manifest's own |
| `huggingface` | types of the columns, for the package `datasets` |

`curate manifest show` prints them, and the manifest's fingerprint: SHA-256 over `id` and `sha256` of all rows in their
order. Two manifests with one fingerprint name the same bytes in the same order, wherever those lie.
"""


def reasons_page() -> str:
    """Write the page of reasons."""
    parts = [
        f"""{NOTE}# Reasons

Why a candidate was rejected: one of these, and nothing else, in the column `reason` of the ledger. A candidate gets the
first that applies, in the order of the stages. *Transient* means that another try may end differently.
"""
    ]
    for stage in dict.fromkeys(reason.stage for reason in Reason):
        own = [reason for reason in Reason if reason.stage == stage]
        rows = [(f"`{r.value}`", r.meaning, "yes" if r.transient else "") for r in own]
        parts.append(f"## {stage}\n\n{table(('reason', 'meaning', 'transient'), rows)}")
    return "\n".join(parts)


def events_page() -> str:
    """Write the page of events."""
    parts = [
        f"""{NOTE}# Events

`curate run`, `curate rebuild` and the commands of single stages take `--log-json PATH`, and append what happens to that
local file, one JSON object a line; `-` is standard error. Names and meanings here stay as they are; fields may be
added, so pass over what you don't know. Every event has `time` (UTC, ISO 8601 with milliseconds) and `event`.

A line is written whole, and at once. A run that goes on after a stop appends to the same file, which so tells of all of
them in turn. If the log can't be written any more, such as on a full disk, `curate` says so once and the run goes on
without it; a file that can't be opened is refused before the run. What the command line refuses before there is a run,
such as a recipe that isn't there, is in no log: see the exit code.

```json
{{"time": "2030-01-01T12:00:10.250Z", "event": "progress", "stage": "fetch", "done": 1640, "rows": 5000, ...}}
```
"""
    ]
    for name, (meaning, fields) in EVENTS.items():
        rows = [(f"`{field}`", sentence(said)) for field, said in fields.items()]
        parts.append(f"## {name}\n\n{sentence(meaning)}\n\n{table(('field', 'meaning'), rows)}")
    return "\n".join(parts)


# --- the command line


def cli_page() -> str:
    """Write the page of commands with their arguments and options."""
    group: Any = typer.main.get_command(app)
    intro = f"""{NOTE}# Commands

{group.help} `curate COMMAND --help` prints what stands here.

A mistake is told in one line, with exit code 1 (2 for a mistake in the command itself, 130 when stopped by Ctrl-C).
"""
    return "\n".join([intro, *_commands(group, "curate")])


def _commands(group: Any, prefix: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix} {name}")
            continue
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option"]
        usage = " ".join([prefix, name, *(p.metavar or p.name.upper() for p in arguments)])
        usage += "".join(f" {_option(p)}" for p in options if p.required)
        usage += " [OPTIONS]" if options else ""
        title = f"{prefix} {name}".removeprefix("curate ")
        text = f"## {title}\n\n    {usage}\n\n{sentence(command.help)}\n"
        example, page = EXAMPLES[title]
        link = f"[{page}](../how-to/{page}.md)"
        text += f"\nExample: `curate {title} {example}`. More: {link}.\n"
        rows = []
        for p in arguments:
            rows.append((f"`{p.metavar or p.name.upper()}`", sentence(p.help or ""), "*required*"))
        rows += [(f"`{_option(p)}`", sentence(p.help or ""), _default(p)) for p in options]
        yield f"{text}\n{table(('', 'meaning', 'default'), rows)}" if rows else text


def _option(parameter: Any) -> str:
    names = ", ".join(parameter.opts)
    if parameter.is_flag:
        return names
    return f"{names} {parameter.metavar or parameter.name.upper().rstrip('_')}"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "*required*"
    return "" if parameter.default in (None, False, [], ()) else f"`{parameter.default}`"


# --- Python

RESULTS: tuple[type, ...] = (
    execute.RunOutcome, StageOutcome, probe.ProbeOutcome, probe.Estimate, probe.Range,
    probe.Diagnosis, measure.Measures, LabelResult, LabelEvaluation, LabelledPicture,
    CategoryScore, ScoreBin, Survey, BadFile, Ingested, Statistics, manifest.Manifest,
    manifest.Fault, manifest.Exported, manifest.ExportOptions, restore.TrainResult,
    restore.Evaluation, restore.Score, restore.ScoreTable, restore.ScoreRow, restore.Estimate,
    restore.Restored, restore.ModelEntry, restore.Part,
)  # fmt: skip
"""Types that the functions return."""


_METHODS_ONLY = """    options:
      members: [load, parse, override, to_yaml]
      inherited_members: [load, parse, override, to_yaml]
"""


def python_page() -> str:
    """Write the page of public names; the site fills in signatures and docstrings."""
    docstring = curate.__doc__ or ""
    words = re.findall(r"^    (\w+)", docstring, re.MULTILINE)
    parts = [
        f"""{NOTE}# Python

```python
import curate

outcome = curate.run("hq50k", ["urls.txt"], "run")
images = curate.read_manifest("run/manifest/train.parquet")
```

These names are the promise; what else the package holds may change. The command line does nothing that they can't.
`import curate` is instant: each name loads its part when it is first used. `make docs` fills in what follows from the
docstrings; `help(curate.run)` shows the same.
"""
    ]
    for name in [word for word in words if word in curate.__all__]:
        # the settings of recipes have pages of their own
        options = _METHODS_ONLY if _is_group(getattr(curate, name)) else ""
        place = "errors" if name == "CurateError" else name  # the module draws the whole tree
        parts.append(f"::: curate.{place}\n{options}")
    parts.append("## Results\n\nTypes that the functions return.\n")
    for kind in RESULTS:
        parts.append(f"::: {kind.__module__}.{kind.__name__}\n    options: {{heading_level: 3}}\n")
    return "\n".join(parts)


def pages() -> dict[str, str]:
    """Return name -> text of every page."""
    return {
        "recipe.md": recipe_page(
            Recipe,
            "Recipe of a curation run",
            """
A recipe is a YAML file; `pipelines/` holds the shipped ones. What a recipe leaves out has the default that stands here;
a key that doesn't stand here is refused. `--set a.b=c` overrides a setting for one run, and `curate run RECIPE
--dry-run` prints the whole of it. How to go about it: [Write a recipe](../how-to/write-a-recipe.md).
""",
        ),
        "train-recipe.md": recipe_page(
            TrainRecipe,
            "Recipe of a training",
            """
The YAML files under `pipelines/train/` are of this form; `curate train RECIPE` takes one, and `--set a.b=c` overrides a
setting. How to go about it: [Train a restorer](../how-to/train-a-restorer.md).
""",
        ),
        "manifest.md": manifest_page(),
        "reasons.md": reasons_page(),
        "events.md": events_page(),
        "cli.md": cli_page(),
        "python.md": python_page(),
    }


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
