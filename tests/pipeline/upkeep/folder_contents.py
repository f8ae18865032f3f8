"""All that a folder tells, whatever it is packed in."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of every file, values of tables as text, and pictures inside HTML."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name, data = path.relative_to(folder).as_posix(), path.read_bytes()
        yield name, data
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield name, repr(table.schema.metadata).encode()
            for column in table.column_names:
                for value in table[column].to_pylist():
                    yield name, value if isinstance(value, bytes) else str(value).encode()
        elif path.suffix == ".html":
            for piece in data.split(b"base64,")[1:]:
                yield name, base64.b64decode(piece.split(b'"')[0])
