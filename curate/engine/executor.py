"""Where shard functions run: in this process, or on Dask workers, behind one small interface."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from itertools import islice
from multiprocessing import resource_tracker
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from curate.errors import RunError

__all__ = [
    "GPU",
    "Executor",
    "SerialExecutor",
    "WorkerDied",
    "local_workers",
    "map_files",
    "map_in_order",
    "open_executor",
]

_GONE = "the Dask scheduler went away; run the same command again to go on from here"

CLOSING_SECONDS = 20.0
"""Dask was seen to wait for ever for a worker that had been killed shortly before."""

GPU = "GPU"
"""Dask resource of workers that may use a graphics processor, one task at a time."""

T = TypeVar("T")
Report = Callable[[Any], None]
"""Takes plain values: what JSON has, and tuples."""
Work = Callable[[T, Report], Any]


class WorkerDied(Exception):  # noqa: N818 - it says what happened
    """A task took its worker process down each time it was tried."""


class Executor(Protocol):
    """Runs a function over tasks and yields each task with what it returned or the exception that ended it.

    Tasks come back as they finish, in any order. Closing the iterator early drops the tasks that wait.
    """

    def offers(self, resource: str) -> bool:
        """Whether a worker offers a Dask resource, such as GPU."""
        ...

    def map(
        self,
        function: Work[T],
        tasks: Iterable[T],
        told: Callable[[T, Any], None],
        resource: str | None = None,
    ) -> Generator[tuple[T, Any], None, None]:
        """Run `function(task, report)` for each task; what it reports arrives at `told(task, report)`, in any thread.

        A task whose worker dies is tried again from its beginning, and reports from its beginning.
        A task takes one of the resource that it names, and waits for a worker that has one to spare.
        """
        ...


class SerialExecutor:
    """One task after the other in this process: the plainest way, and the one to debug with."""

    def offers(self, resource: str) -> bool:
        """See Executor: this process has whatever the machine has."""
        return True

    def map(
        self,
        function: Work[T],
        tasks: Iterable[T],
        told: Callable[[T, Any], None],
        resource: str | None = None,
    ) -> Generator[tuple[T, Any], None, None]:
        """See Executor."""
        for task in tasks:
            try:
                yield task, function(task, lambda report, task=task: told(task, report))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - whatever a task raises is the caller's to judge
                yield task, error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class DaskExecutor:
    """Tasks as Dask futures, a bounded number at a time, so that the scheduler stays small however long the list."""

    def __init__(self, address: str | None, workers: int | None, gpus: Sequence[str] = ()) -> None:
        import logging

        import dask
        from distributed import Client

        logging.getLogger("distributed").setLevel(
            logging.ERROR
        )  # a worker's death is reported by us, once
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # and the scheduler's
        # One thread each: the work is CPU-bound. A second death blames the task, and the runner looks into it.
        # A worker may be down 15 s after it was: it has died again since. Dask would take that for gone, and stop
        # whoever starts it again, till none are left and the run waits for ever.
        settings = {"scheduler.allowed-failures": 1, "comm.timeouts.connect": "60s"}
        settings |= {"deploy.lost-worker-timeout": "10000 days"}
        # Workers keep an hour of call stacks for the dashboard otherwise, some 5 MB a minute where they are many.
        settings |= {"worker.profile.enabled": False}
        dask.config.set({f"distributed.{name}": value for name, value in settings.items()})
        try:
            self._cluster = None if address else _local_cluster(workers or local_workers(), gpus)
            self._client = Client(address or self._cluster, timeout=30)
            threads = self._client.nthreads()
        except (OSError, ValueError) as error:
            raise RunError(
                f"can't reach a Dask scheduler at {address} ({error}): see that there is one, and run the same command "
                "again"
            ) from error
        if not threads:
            logging.getLogger(__name__).warning(
                "the Dask scheduler at %s has no workers yet: waiting for some", address
            )

    def offers(self, resource: str) -> bool:
        """See Executor."""
        with _scheduler_there():
            return bool(self._client.run_on_scheduler(_workers_with, resource))

    def map(
        self,
        function: Work[T],
        tasks: Iterable[T],
        told: Callable[[T, Any], None],
        resource: str | None = None,
    ) -> Generator[tuple[T, Any], None, None]:
        """See Executor."""
        from distributed import as_completed

        topic = f"curate-{time.monotonic_ns()}"
        waiting = iter(enumerate(tasks))
        under_way: dict[Any, tuple[int, T]] = {}
        finished = as_completed(raise_errors=False)

        def submit() -> None:
            # workers may have come since the last time; none yet is no reason to wait with the first tasks, for which
            # a cluster may start some
            window = 2 * max(1, sum(self._client.nthreads().values()))
            for index, task in islice(waiting, max(0, window - len(under_way))):
                key = f"{topic}-{index}"
                needs = {resource: 1} if resource else None
                future = self._client.submit(
                    _work,
                    function,
                    task,
                    topic,
                    index,
                    key=key,
                    pure=False,
                    priority=-index,
                    resources=needs,
                )
                under_way[future] = index, task
                finished.add(future)

        def forward(event: tuple[float, tuple[int, Any]]) -> None:
            index, report = event[1]
            for known, task in list(under_way.values()):
                if known == index:
                    told(task, report)

        with _scheduler_there():
            self._client.subscribe_topic(topic, forward)
            try:
                submit()
                for future in finished:
                    _, task = under_way.pop(future)
                    result = _result(future)
                    submit()
                    yield task, result
            finally:
                self._client.unsubscribe_topic(topic)
                if under_way:
                    self._client.cancel(list(under_way), force=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()
        if self._cluster is not None:
            # What it still waits for dies with this process; all that the run needs of it is done.
            with suppress(TimeoutError):
                self._cluster.close(timeout=CLOSING_SECONDS)


@contextmanager
def _scheduler_there() -> Iterator[None]:
    """What Dask's client raises when it finds no scheduler, in our words."""
    try:
        yield
    except OSError as error:
        raise RunError(_GONE) from error


def _local_cluster(workers: int, gpus: Sequence[str]) -> Any:
    """Workers on this machine, reachable from this machine only; its dashboard takes any free port.

    So many of them see one GPU each, and offer it.
    """
    import logging

    from distributed import LocalCluster

    here = "127.0.0.1:0"
    gpus = gpus[:workers]
    with _no_interrupts():
        cluster = LocalCluster(
            n_workers=workers - len(gpus),
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=here,
            worker_dashboard_address=here,
            silence_logs=logging.CRITICAL,
        )
    for gpu in gpus:
        options = {"resources": {GPU: 1}, "env": {"CUDA_VISIBLE_DEVICES": gpu}}
        spec = cluster.new_spec
        cluster.worker_spec[f"gpu-{gpu}"] = {**spec, "options": spec["options"] | options}
    if gpus:
        cluster.scale(workers)
        cluster.wait_for_workers(workers, timeout=60)
    return cluster


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from the processes that a cluster starts, now and later: a terminal sends it to all, and each would
    print where it was. The threads that start them inherit what is blocked here, and so do they. Here it waits.
    """
    resource_tracker.ensure_running()  # it unblocks the signal in the thread that starts it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def local_workers() -> int:
    """How many workers `local` starts when it isn't told: one for each core that this process may use."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def open_executor(
    scheduler: str, workers: int | None = None, gpus: Sequence[str] = ()
) -> AbstractContextManager[Executor]:
    """The executor that a `--scheduler` value names: `serial`, `local` (Dask workers here) or a scheduler's address.

    Of the local workers, one for each of the GPUs, named as in CUDA_VISIBLE_DEVICES, offers the resource GPU.

    Raises:
        RunError: if the value names none, or the scheduler can't be reached.
    """
    if scheduler == "serial":
        return SerialExecutor()
    if scheduler == "local":
        return DaskExecutor(None, workers, gpus)
    if "://" in scheduler:
        return DaskExecutor(scheduler, None)
    raise RunError(
        f"--scheduler takes local, serial or a Dask scheduler's address such as tcp://host:8786, not {scheduler!r}"
    )


def map_files(executor: Executor, function: Work[T], tasks: Iterable[T]) -> Iterator[tuple[T, Any]]:
    """What a function gives for each task, in any order, when one of them may take its worker down, such as a file.

    A task whose worker died may have been another task's victim: it is tried once more, by itself. Of those that die
    then too, the result is a WorkerDied.
    """
    died = []
    for task, result in executor.map(function, tasks, _ignore):
        if isinstance(result, WorkerDied):
            died.append(task)
        else:
            yield task, result
    for task in died:
        yield from executor.map(function, [task], _ignore)


def _ignore(task: Any, told: Any) -> None:
    """A task is done or it isn't: nothing to tell on the way."""


def map_in_order(
    executor: Executor, function: Work[T], tasks: Iterable[T], resource: str | None = None
) -> list[Any]:
    """What `function(task, report)` returns for each task, in their order, whatever order they end in.

    Raises:
        RunError: if a task took its worker down each time.
        Exception: what a task raised; the others are dropped.
    """
    results: dict[int, Any] = {}
    numbered = executor.map(partial(_numbered, function), enumerate(tasks), _ignore, resource)
    with closing(numbered):
        for (number, _), result in numbered:
            if isinstance(result, WorkerDied):
                raise RunError(
                    "a worker process died twice over the same work: is there memory enough?"
                ) from result
            if isinstance(result, Exception):
                raise result
            results[number] = result
    return [results[number] for number in range(len(results))]


def _numbered(function: Work[T], task: tuple[int, T], report: Report) -> Any:
    return function(task[1], report)


def _work(function: Work[T], task: T, topic: str, index: int) -> Any:
    """Runs on a worker."""
    from distributed import get_worker

    worker = get_worker()  # known to this thread only; reports may come from others
    return function(task, lambda report: worker.log_event(topic, (index, report)))


def _workers_with(resource: str, dask_scheduler: Any) -> int:
    """Runs on the scheduler."""
    return sum(amount >= 1 for amount in dask_scheduler.resources.get(resource, {}).values())


def _result(future: Any) -> Any:
    """What a finished task returned or raised; waits again if the worker died that held it."""
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except CancelledError as error:
        raise RunError(_GONE) from error
    except KilledWorker:
        return WorkerDied("its worker process died")
    except Exception as error:  # noqa: BLE001 - whatever a task raises is the caller's to judge
        return error
