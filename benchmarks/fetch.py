"""Cost of fetching, with and without a probe of the file's head, by both engines.

    python -m benchmarks.fetch [--candidates 2000] [--engines stream,img2dataset] [--side 480]
                               [--rtt 0.05]

Prints URLs a second, bytes read, CPU time and memory. A site in its own process on 127.0.0.1 serves
files with real JPEG heads and lengths distributed as in crawls. Shorter sides are lognormal, and by
default about 5 % pass HQ-50K's bounds (1024 pixels, 500,000 bytes). The cost depends on that: the
smaller the rejected files, the less there is to save. The system counts bytes as they arrive at
each connection, read or not. On loopback a whole response arrives at once; `--rtt` sends it like
TCP over a network, 10 segments first and twice as many in each round trip after that.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import multiprocessing
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image

from curate.images.header import read_header
from curate.recipe import Recipe
from curate.stages.fetch import spool
from curate.stages.fetch.context import FetchContext
from curate.stages.fetch.early_filters import EarlyFilters
from curate.stages.fetch.outcome import Body
from curate.stages.fetch.shard import load_engine

SHARD = 1000
_FIRST_FLIGHT = 10 * 1460
"""Bytes that TCP sends before it knows anything of the way (RFC 6928)."""
_FILLER = bytes(1 << 16)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, default=2000)
    parser.add_argument("--engines", default="stream,img2dataset")
    parser.add_argument(
        "--rtt", type=float, default=0.0, help="seconds of a round trip; 0: as fast as it goes"
    )
    parser.add_argument(
        "--side", type=float, default=480, help="median of the shorter sides; 100 for rejects alone"
    )
    arguments = parser.parse_args()
    print(
        "| engine | heads | URLs/s | bytes a URL | for one rejected | for one kept | kept "
        "| CPU ms a URL | peak RSS |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with _site(arguments.candidates, arguments.side, arguments.rtt) as port:
        for engine in arguments.engines.split(","):
            for probe in (True, False):
                # a process of its own for each: memory is a peak, and imports are part of it
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    print(pool.apply(_measure, (engine, probe, port, arguments.candidates)))


def _measure(engine: str, probe: bool, port: int, candidates: int) -> str:
    recipe = Recipe.load(
        "hq50k", ["fetch.allow_networks=[127.0.0.1/32]", "fetch.per_host=64", "fetch.robots=false"]
    )
    config = recipe.fetch.model_copy(update={"per_host_rate": None})
    filters = EarlyFilters(recipe.early_bounds if probe else ())
    fetch = load_engine(engine)
    read = 0

    def close(self: socket.socket) -> None:
        nonlocal read
        if self.fileno() >= 0 and self.family == socket.AF_INET:
            read += _received(self)
        before(self)

    before = socket.socket.close
    socket.socket.close = close  # type: ignore[method-assign, assignment]
    kept: list[int] = []
    start, cpu = time.perf_counter(), time.process_time()
    for first in range(0, candidates, SHARD):
        urls = [
            f"http://127.0.0.1:{port}/{i}" for i in range(first, min(first + SHARD, candidates))
        ]
        with tempfile.TemporaryDirectory() as scratch:
            outcomes = fetch(urls, FetchContext(config, Path(scratch), filters=filters))
            kept += [o.body.nbytes for o in outcomes if o.body and _passes(recipe, o.body)]
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    heads = "read" if probe else "passed over"
    return (
        f"| {engine} | {heads} | {candidates / seconds:,.0f} | {read / candidates / 1e3:,.0f} kB"
        f" | {(read - sum(kept)) / max(candidates - len(kept), 1) / 1e3:,.0f} kB"
        f" | {read / max(len(kept), 1) / 1e6:,.1f} MB | {len(kept) / candidates:.1%}"
        f" | {1e3 * cpu / candidates:.2f}"
        f" | {peak:,.0f} MB |"
    )


def _received(connection: socket.socket) -> int:
    """Return the bytes that arrived at a connection: tcpi_bytes_received of Linux's tcp_info."""
    return int.from_bytes(
        connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)[128:136], sys.byteorder
    )


def _passes(recipe: Recipe, body: Body) -> bool:
    """Whether the recipe's filters would keep an image, by its head."""
    with body.path.open("rb") as file:
        header = read_header(file.read(spool.HEADS[0]))
    facts = {"width": header.width, "height": header.height, "nbytes": body.nbytes}
    return not any(bound.broken_by(facts.get(bound.column)) for bound in recipe.filters.bounds)


@contextmanager
def _site(candidates: int, side: float, rtt: float) -> Iterator[int]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(there, candidates, side, rtt), daemon=True
    )
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection, candidates: int, side: float, rtt: float) -> None:
    rng = np.random.default_rng(0)
    sides = np.exp(rng.normal(np.log(side), 0.56, candidates)).astype(int).clip(16, 8000)
    lengths = (sides * sides * 4 / 3 * np.exp(rng.normal(np.log(2.5), 0.4, candidates)) / 8).astype(
        int
    ) + 1000

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                i = int(request.split(b" ", 2)[1][1:])
                head, left = _head(int(sides[i])), int(lengths[i])
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                    % left
                )
                await _send(writer, head[:left], left, rtt)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(visit, "127.0.0.1", 0, backlog=1000)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


async def _send(writer: asyncio.StreamWriter, head: bytes, nbytes: int, rtt: float) -> None:
    """Send the head and as many zeros as are missing, at most a flight in each round trip."""
    writer.write(head)
    sent, flight = len(head), _FIRST_FLIGHT
    until = flight if rtt else nbytes
    while sent < nbytes:
        size = min(nbytes - sent, until - sent, len(_FILLER))
        writer.write(_FILLER[:size])
        sent += size
        await writer.drain()
        if sent == until < nbytes:
            flight *= 2
            until += flight
            await asyncio.sleep(rtt)


def _head(side: int) -> bytes:
    """Return the head of a JPEG of side * 4 / 3 x side, with a preview before the size."""
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG")
    data = file.getvalue()
    at = data.index(b"\xff\xc0") + 5
    size = side.to_bytes(2, "big") + (side * 4 // 3).to_bytes(2, "big")
    preview = b"\xff\xe1" + (8002).to_bytes(2, "big") + bytes(8000) if side % 2 else b""
    return data[:2] + preview + data[2:at] + size + data[at + 4 :]


if __name__ == "__main__":
    main()
