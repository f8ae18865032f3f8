"""Process beside this one that works on a stranger's picture, bounded in time and memory.

No library here can be stopped from within while it decodes. So a light process decodes instead, and
ends when a picture takes too much: the kernel's timers end it, or this process does, which watches
its memory. It serves picture after picture, and the next one after such an end gets a new process.
"""

from __future__ import annotations

import atexit
import json
import os
import pickle
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import psutil

from curate.errors import CurateError, ImageError, Reason
from curate.images.header import read_header
from curate.runtime import contain_errors

__all__ = ["run_in_decoder", "serve"]

P = ParamSpec("P")
T = TypeVar("T")

SECONDS = 10.0
"""Processor time that a picture may take: twice as much as the largest sound one does."""
HANGING = 60.0
"""Seconds in which a decoder that works gets a hundredth of a processor, however busy that is."""
NBYTES = 1_200_000_000
"""Memory that a picture may take, beside the process and the file itself. With all facts, the
largest sound one takes up to 1.03 GB."""
_PIXELS = 64_000_000
"""Pixels up to which these budgets hold; a larger picture, if a recipe lets it in, gets more."""

_WATCH_SECONDS = 0.05
_IDLE_SECONDS = 60.0
"""Seconds after which a process without work ends."""
_ORPHAN_SECONDS = 600
"""Seconds after which a process that hangs ends by itself, since its parent may have died."""
_REFERENCE = 0.008
"""Processor time of `_slowness`'s transform on the machine where budgets were measured."""
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from curate.images.decoder_process import serve; serve(int(sys.argv[1]))"
)


def run_in_decoder(
    function: Callable[Concatenate[bytes, P], T], data: bytes, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Return `function(data, ...)`, computed in a decoder process within the picture's budget.

    The function is one that a module defines by its name. It, its other arguments and its result
    are picklable.

    Raises:
        ImageError: TOO_COSTLY beyond the budget, CRASHED if a process died of it twice, and
            INTERNAL_ERROR for an unexpected error of the function.
        CurateError: as the function raises it.
    """
    header = read_header(data)
    scale = max(1.0, (header.width or 0) * (header.height or 0) / _PIXELS)
    request = pickle.dumps((function, args, kwargs, SECONDS * scale))
    # a process may also be ended by others, which is no picture's fault
    for _ in range(2):
        with suppress(_Died):
            result, error = _work(request, data, NBYTES * scale)
            if error is not None:
                raise error
            return result
    raise ImageError(Reason.CRASHED, "the process that decoded it died, twice")


class _Died(Exception):  # noqa: N818 - it says what happened
    """A process ended before its answer, for no reason of ours."""


_Outcome = tuple[Any, CurateError | None]
"""Result of a function, or its error."""


def _work(request: bytes, data: bytes, nbytes: float) -> _Outcome:
    """Return a process's answer to a request.

    Raises:
        ImageError: TOO_COSTLY, if the picture exceeds its budget.
        _Died: if the process ends for another reason.
    """
    with _borrow() as process:
        try:
            return process.answer(request, data, nbytes)
        except (EOFError, OSError) as error:
            if process.exit_code() == -signal.SIGPROF:
                detail = f"it takes over {SECONDS:.0f} s of processor time"
                raise ImageError(Reason.TOO_COSTLY, detail) from error
            raise _Died from error


class _Connection:
    """Messages of several parts over a socket."""

    def __init__(self, socket_: socket.socket) -> None:
        self._socket, self._file = socket_, socket_.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def poll(self, seconds: float) -> bool:
        """Return whether a message, or the end, comes within some seconds."""
        return bool(wait([self._socket], seconds))

    def send(self, *parts: bytes | memoryview) -> None:
        lengths = [memoryview(part).nbytes for part in parts]
        self._socket.sendall(struct.pack(f"<Q{len(parts)}Q", len(parts), *lengths))
        for part in parts:
            self._socket.sendall(part)

    def receive(self) -> list[bytes]:
        """Return the parts of the next message.

        Raises:
            EOFError: if the other end is closed.
        """
        (count,) = struct.unpack("<Q", self._read(8))
        lengths = struct.unpack(f"<{count}Q", self._read(8 * count))
        return [self._read(length) for length in lengths]

    def _read(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            raise EOFError
        return data


class _DecoderProcess:
    """One process, and the connection to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._connection, number = _Connection(ours), theirs.fileno()
        # a session of its own: Ctrl-C reaches this process only, which then ends that one
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(number), json.dumps(sys.path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[number],
                start_new_session=True,
            )
        self._facts = psutil.Process(self._process.pid)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def exit_code(self) -> int:
        """Return how the process ended, negative for a signal, or end it if it didn't."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout=1)
        self.end()
        return self._process.returncode

    def end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def answer(self, request: bytes, data: bytes, nbytes: float) -> _Outcome:
        """Send a request and return the answer.

        Raises:
            ImageError: if the process's memory grows by more than `nbytes`, or it hangs.
            EOFError, OSError: if it ends.
        """
        self._connection.send(request)
        self._connection.receive()  # by now it has imported the function's module
        limit = self._memory() + len(data) + nbytes
        self._connection.send(data)
        due, seconds = time.monotonic() + HANGING, self._seconds()
        while not self._connection.poll(_WATCH_SECONDS):
            if self._memory() > limit:
                detail = f"it takes over {nbytes / 1e9:.1f} GB of memory"
                raise ImageError(Reason.TOO_COSTLY, detail)
            if time.monotonic() > due:
                before, seconds = seconds, self._seconds()
                if seconds - before < HANGING / 100:
                    raise ImageError(Reason.TOO_COSTLY, "its decoder hangs")
                due += HANGING
        head, *arrays = self._connection.receive()
        outcome: _Outcome = pickle.loads(head, buffers=arrays)
        return outcome

    def _memory(self) -> int:
        with suppress(psutil.Error):  # it has ended, as the connection will tell
            return int(self._facts.memory_info().rss)
        return 0

    def _seconds(self) -> float:
        with suppress(psutil.Error):
            times = self._facts.cpu_times()
            return float(times.user + times.system)
        return float("inf")


_idle: list[_DecoderProcess] = []
"""Processes that wait for work: one, or as many as there were threads at work at once."""
# a fork would share their connections
os.register_at_fork(after_in_child=_idle.clear)


@atexit.register
def _end_idle() -> None:
    while _idle:
        _idle.pop().end()


def _take() -> _DecoderProcess:
    while True:
        try:
            process = _idle.pop()
        except IndexError:
            return _DecoderProcess()
        if process.is_alive:
            return process
        process.end()


@contextmanager
def _borrow() -> Iterator[_DecoderProcess]:
    """Take a process for one request. After any error it is in an unknown state, and ended."""
    process = _take()
    try:
        yield process
    except BaseException:
        process.end()
        raise
    _idle.append(process)


def serve(number: int) -> None:
    """Work for the process at the other end of a connection, until it goes or has no more work.

    Args:
        number: of the connection's file descriptor.
    """
    connection = _Connection(socket.socket(fileno=number))
    for ending in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(ending, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF, signal.SIGALRM})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # nobody wants a core dump of each picture
    slowness = _slowness()
    with suppress(EOFError, OSError):
        while connection.poll(_IDLE_SECONDS):
            (request,) = connection.receive()
            function, args, kwargs, seconds = pickle.loads(request)
            connection.send()
            (data,) = connection.receive()
            # the kernel ends the process, since no code in Python could interrupt a decoder
            signal.setitimer(signal.ITIMER_PROF, seconds * slowness)
            signal.alarm(_ORPHAN_SECONDS)
            outcome = _outcome(function, data, args, kwargs)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
            # arrays travel beside the rest, without another copy in memory
            arrays: list[pickle.PickleBuffer] = []
            head = pickle.dumps(outcome, 5, buffer_callback=arrays.append)
            connection.send(head, *(array.raw() for array in arrays))
            del data, outcome, arrays  # nothing of a picture stays while the next one comes


def _outcome(
    function: Callable[..., Any], data: bytes, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _Outcome:
    try:
        with contain_errors():
            return function(data, *args, **kwargs), None
    except CurateError as error:
        return None, error
    except MemoryError:
        return None, ImageError(Reason.TOO_COSTLY, "decoding it takes too much memory")


def _slowness() -> float:
    """Return how many times slower than the budgets' machine this one is; at least 1."""
    samples_HW = np.random.default_rng(0).random((512, 512))
    times = []
    for _ in range(3):
        start = time.process_time()
        np.fft.rfft2(samples_HW)
        times.append(time.process_time() - start)
    return max(1.0, min(times) / _REFERENCE)
