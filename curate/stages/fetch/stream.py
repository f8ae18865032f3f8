"""The stream engine: all URLs of a shard at once in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from curate.stages.fetch.client import HttpClient
from curate.stages.fetch.context import FetchContext
from curate.stages.fetch.outcome import Failure, Outcome

__all__ = ["fetch_stream"]

_Job = tuple[str, Path, Outcome]
"""URL, file for its body, and its outcome."""


def fetch_stream(urls: Sequence[str], context: FetchContext) -> list[Outcome]:
    """Fetch every URL; see `FetchEngine`."""
    jobs = [(text, context.scratch / f"{i}", Outcome()) for i, text in enumerate(urls)]
    asyncio.run(_run(jobs, context))
    return [outcome for _, _, outcome in jobs]


async def _run(jobs: list[_Job], context: FetchContext) -> None:
    """Run all jobs, then the transient failures among them once more."""
    async with HttpClient(context) as client:
        await _run_round(jobs, client, context)
        last = [job for job in jobs if job[2].deserves_last_retry(context.config)]
        if last:
            # another chance for failed hosts and robots.txt files, with a deadline of its own
            await client.reset()
            for _, _, outcome in last:
                outcome.seconds = 0.0
            await asyncio.sleep(context.config.backoff)
            await _run_round(last, client, context, is_last=True)


async def _run_round(
    jobs: list[_Job], client: HttpClient, context: FetchContext, *, is_last: bool = False
) -> None:
    """Run some jobs at once, as far as the limits allow."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(_fetch(job, client, context, is_last))
    except ExceptionGroup as errors:  # the fault of this machine, such as a full disk
        raise errors.exceptions[0] from None


async def _fetch(job: _Job, client: HttpClient, context: FetchContext, is_last: bool) -> None:
    """Fetch one URL, with all retries of this round."""
    text, path, outcome = job
    while True:
        outcome.start_attempt()
        try:
            await client.fetch(text, path, outcome)
        except Failure as failure:
            outcome.fail(failure)
        delay = outcome.retry_delay(context.config)
        if delay is None:
            break
        outcome.seconds += delay
        await asyncio.sleep(delay)
    if is_last or not outcome.deserves_last_retry(context.config):
        context.requests.finish(outcome)
