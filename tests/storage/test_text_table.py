import csv
import io
import json
import math

from curate.storage.text_table import TextColumn, TextTable

COLUMNS = (
    TextColumn("set|split", ("name",), left=True),
    TextColumn("bpp", ("bpp",), "{:.2f}".format),
    TextColumn("range", ("low", "high"), "{} to {}".format),
)
ROWS = [
    {"name": "DIV2K", "bpp": 12.694, "low": 1, "high": 2, "unseen": 9},
    {"name": "a, b", "bpp": None, "low": 3, "high": math.inf, "unseen": 9},
]
TABLE = TextTable(COLUMNS, ROWS, "title", "legend")


def test_csv_has_plain_values_and_a_column_for_each_key() -> None:
    first, second = csv.DictReader(io.StringIO(TABLE.to_text("csv")))
    assert first == {"name": "DIV2K", "bpp": "12.694", "low": "1", "high": "2"}
    assert second == {"name": "a, b", "bpp": "", "low": "3", "high": "inf"}


def test_markdown_has_cells_as_readers_see_them() -> None:
    assert TABLE.to_text("md").splitlines() == [
        "**title**",
        "",
        r"| set\|split | bpp | range |",
        "| --- | ---: | ---: |",
        "| DIV2K | 12.69 | 1 to 2 |",
        "| a, b | - | 3 to inf |",
        "",
        "legend",
    ]


def test_markdown_without_title_and_legend_is_the_table_alone() -> None:
    lines = TextTable(COLUMNS, ROWS).to_text("md").splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("|") and lines[-1].startswith("|")


def test_json_has_all_values_of_rows_and_null_for_infinity() -> None:
    first, second = json.loads(TABLE.to_text("json"))
    assert first == ROWS[0]
    assert second == ROWS[1] | {"high": None}


def test_json_of_a_table_with_content_is_the_content() -> None:
    table = TextTable(COLUMNS, ROWS, content={"more": (math.nan, {"deep": -math.inf})})
    assert json.loads(table.to_text("json")) == {"more": [None, {"deep": None}]}
