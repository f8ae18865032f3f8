"""Executors: run functions over tasks in this process, or on Dask workers, behind one interface."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from functools import partial
from itertools import islice
from multiprocessing import resource_tracker
from typing import Any, Protocol, Self, TypeVar

from curate.errors import CurateError, RunError
from curate.runtime import log_levels

__all__ = [
    "GPU",
    "Executor",
    "Report",
    "SerialExecutor",
    "WorkerDied",
    "local_workers",
    "map_files",
    "map_in_order",
    "open_executor",
]

_SCHEDULER_LOST = "the Dask scheduler went away; run the same command again to go on from here"

CLOSING_SECONDS = 20.0
"""Time-out of closing a cluster: Dask was seen to wait for ever for a worker killed just before."""

GPU = "GPU"
"""Dask resource of workers that may use a graphics processor, one task at a time."""

_DASK_SETTINGS = {
    # A second death blames the task, and the runner looks into it.
    "scheduler.allowed-failures": 1,
    "comm.timeouts.connect": "60s",
    # A worker that is still down after 15 s has died again since. Dask would take it for lost and
    # stop its nanny, until no worker is left and the run waits for ever.
    "deploy.lost-worker-timeout": "10000 days",
    # Workers keep an hour of call stacks for the dashboard otherwise: 5 MB a minute where there are
    # many.
    "worker.profile.enabled": False,
}
_LOG_LEVELS = {
    "distributed": logging.ERROR,  # we report a worker's death ourselves, once
    "distributed.client": logging.CRITICAL,  # and the scheduler's
}

T = TypeVar("T")
Report = Callable[[Any], None]
"""Sends plain values (JSON's types and tuples) to the driver."""
Work = Callable[[T, Report], Any]


class WorkerDied(Exception):  # noqa: N818 - it says what happened
    """Error of a task that killed its worker process each time it was tried."""


class Executor(Protocol):
    """Runs a function over tasks, and yields each task with its result or the exception it raised.

    Tasks come back as they finish, in any order. Closing the iterator early drops waiting tasks.
    """

    def offers(self, resource: str) -> bool:
        """Return whether a worker offers a Dask resource, such as GPU."""
        ...

    def map(
        self,
        function: Work[T],
        tasks: Iterable[T],
        on_report: Callable[[T, Any], None],
        resource: str | None = None,
    ) -> Generator[tuple[T, Any], None, None]:
        """Run `function(task, report)` for each task.

        Args:
            function: sends reports with its second argument.
            tasks: picklable where workers are other processes.
            on_report: called with task and report, in any thread. A task whose worker dies is tried
                again from its beginning, and reports from its beginning.
            resource: a task takes one of it, and waits for a worker that has one to spare.
        """
        ...


class SerialExecutor:
    """Executor in this process, one task after the other: the one to debug with."""

    def offers(self, resource: str) -> bool:
        """See Executor: this process has all that the machine has."""
        return True

    def map(
        self,
        function: Work[T],
        tasks: Iterable[T],
        on_report: Callable[[T, Any], None],
        resource: str | None = None,
    ) -> Generator[tuple[T, Any], None, None]:
        """See Executor."""
        for task in tasks:
            try:
                yield task, function(task, partial(on_report, task))
            except Exception as error:  # noqa: BLE001 - the caller judges what a task raises
                yield task, error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class DaskExecutor:
    """Executor on Dask workers: a bounded number of futures, so the scheduler stays small.

    Dask's settings and log levels are changed for the life of the executor, and put back.
    """

    def __init__(self, address: str | None, workers: int | None, gpus: Sequence[str] = ()) -> None:
        """Connect to a scheduler, or start workers on this machine where no address is given.

        Raises:
            RunError: if the scheduler can't be reached.
        """
        from distributed import Client

        with ExitStack() as stack:
            stack.enter_context(_dask_settings())
            try:
                # one thread each: the work is CPU-bound
                cluster = None if address else _local_cluster(workers or local_workers(), gpus)
                if cluster is not None:
                    stack.callback(_close, cluster)
                self._client = stack.enter_context(Client(address or cluster, timeout=30))
                threads = self._client.nthreads()
            except (OSError, ValueError) as error:
                raise RunError(
                    f"can't reach a Dask scheduler at {address} ({error}): see that there is one, "
                    "and run the same command again"
                ) from error
            self._stack = stack.pop_all()
        if not threads:
            logging.getLogger(__name__).warning(
                "the Dask scheduler at %s has no workers yet: waiting for some", address
            )

    def offers(self, resource: str) -> bool:
        """See Executor."""
        with _explain_lost_scheduler():
            return bool(self._client.run_on_scheduler(_workers_with, resource))

    def map(
        self,
        function: Work[T],
        tasks: Iterable[T],
        on_report: Callable[[T, Any], None],
        resource: str | None = None,
    ) -> Generator[tuple[T, Any], None, None]:
        """See Executor."""
        from distributed import as_completed

        topic = f"curate-{time.monotonic_ns()}"
        waiting = iter(enumerate(tasks))
        running: dict[Any, tuple[int, T]] = {}
        finished = as_completed(raise_errors=False)

        def submit() -> None:
            # Workers may have joined since the last call. Without any the first tasks are submitted
            # all the same, since an adaptive cluster may start some for them.
            window = 2 * max(1, sum(self._client.nthreads().values()))
            for index, task in islice(waiting, max(0, window - len(running))):
                future = self._client.submit(
                    _run_on_worker,
                    function,
                    task,
                    topic,
                    index,
                    key=f"{topic}-{index}",
                    pure=False,
                    priority=-index,
                    resources={resource: 1} if resource else None,
                )
                running[future] = index, task
                finished.add(future)

        def forward(event: tuple[float, tuple[int, Any]]) -> None:
            number, report = event[1]
            for index, task in list(running.values()):
                if index == number:
                    on_report(task, report)

        with _explain_lost_scheduler():
            self._client.subscribe_topic(topic, forward)
            try:
                submit()
                for future in finished:
                    _, task = running.pop(future)
                    result = _result(future)
                    submit()
                    yield task, result
            finally:
                self._client.unsubscribe_topic(topic)
                if running:
                    self._client.cancel(list(running), force=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@contextmanager
def _dask_settings() -> Iterator[None]:
    """Change Dask's settings and log levels while a block lasts."""
    import dask
    import distributed  # noqa: F401 - importing it sets its log levels

    settings = {f"distributed.{name}": value for name, value in _DASK_SETTINGS.items()}
    with dask.config.set(settings), log_levels(_LOG_LEVELS):
        yield


@contextmanager
def _explain_lost_scheduler() -> Iterator[None]:
    """Turn the error of Dask's client that finds no scheduler into a RunError."""
    try:
        yield
    except OSError as error:
        raise RunError(_SCHEDULER_LOST) from error


def _local_cluster(workers: int, gpus: Sequence[str]) -> Any:
    """Start workers on this machine, reachable from this machine only; dashboards on free ports.

    Each GPU is seen by one worker, which offers it.
    """
    from distributed import LocalCluster

    here = "127.0.0.1:0"
    gpus = gpus[:workers]
    with _block_interrupts():
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


def _close(cluster: Any) -> None:
    with suppress(TimeoutError):  # what is left of it dies with this process
        cluster.close(timeout=CLOSING_SECONDS)


@contextmanager
def _block_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from the processes that a cluster starts, now and later.

    A terminal sends it to all processes, and each would print a traceback. Threads that start
    processes inherit the blocked signal, and so do the processes. Here it arrives afterwards.
    """
    resource_tracker.ensure_running()  # it unblocks the signal in the thread that starts it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def local_workers() -> int:
    """Return the default number of local workers: one for each core that this process may use."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def open_executor(
    scheduler: str, workers: int | None = None, gpus: Sequence[str] = ()
) -> AbstractContextManager[Executor]:
    """Open the executor of a `--scheduler` value.

    Args:
        scheduler: `serial`, `local` (Dask workers on this machine), or a scheduler's address.
        workers: number of local workers.
        gpus: GPUs as CUDA_VISIBLE_DEVICES names them; one local worker offers each.

    Raises:
        RunError: if the value is none of these, or the scheduler can't be reached.
    """
    if scheduler == "serial":
        return SerialExecutor()
    if scheduler == "local":
        return DaskExecutor(None, workers, gpus)
    if "://" in scheduler:
        return DaskExecutor(scheduler, None)
    raise RunError(
        "--scheduler takes local, serial or a Dask scheduler's address such as tcp://host:8786, "
        f"not {scheduler!r}"
    )


def map_files(executor: Executor, function: Work[T], tasks: Iterable[T]) -> Iterator[tuple[T, Any]]:
    """Run a function over tasks that may kill their worker, such as files; yield in any order.

    A task whose worker died may be the victim of another task, so it is tried once more, by itself.
    If that dies as well, its result is a WorkerDied.
    """
    died = []
    for task, result in executor.map(function, tasks, _ignore):
        if isinstance(result, WorkerDied):
            died.append(task)
        else:
            yield task, result
    for task in died:
        yield from executor.map(function, [task], _ignore)


def _ignore(task: Any, report: Any) -> None:
    """Ignore reports of tasks that are short."""


def map_in_order(
    executor: Executor, function: Work[T], tasks: Iterable[T], resource: str | None = None
) -> list[Any]:
    """Return the result of `function(task, report)` for each task, in the order of the tasks.

    Raises:
        RunError: if a task killed its worker each time.
        Exception: if a task raised one; the others are dropped.
    """
    results: dict[int, Any] = {}
    numbered = executor.map(partial(_run_numbered, function), enumerate(tasks), _ignore, resource)
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


def _run_numbered(function: Work[T], task: tuple[int, T], report: Report) -> Any:
    return function(task[1], report)


def _run_on_worker(function: Work[T], task: T, topic: str, index: int) -> Any:
    from distributed import get_worker

    worker = get_worker()  # known to this thread only; reports may come from others
    try:
        return function(task, lambda report: worker.log_event(topic, (index, report)))
    except CurateError as caught:
        error = caught
    # Dask pickles an error together with its causes. If one of them can't be pickled, it sends a
    # bare Exception instead, and the run would take a full disk for a shard that failed.
    error.__cause__ = error.__context__ = None
    raise error


def _workers_with(resource: str, dask_scheduler: Any) -> int:
    """Return how many workers offer a resource. Runs on the scheduler."""
    return sum(amount >= 1 for amount in dask_scheduler.resources.get(resource, {}).values())


def _result(future: Any) -> Any:
    """Return what a finished task returned or raised; waits again if its worker died since."""
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except CancelledError as error:
        raise RunError(_SCHEDULER_LOST) from error
    except KilledWorker:
        return WorkerDied("its worker process died")
    except Exception as error:  # noqa: BLE001 - the caller judges what a task raises
        return error
