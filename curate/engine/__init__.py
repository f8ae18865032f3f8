"""Shards, commit records and resume; runs a shard function serially or on Dask. Knows nothing of images."""

from curate.engine.candidate_index import (
    ShardIndex,
    Source,
    read_ids,
    read_index,
    resume_source,
    write_source,
)
from curate.engine.commit_record import CommitRecord, distrust, forget, read_records
from curate.engine.events import Progress, Wait
from curate.engine.executor import (
    GPU,
    DaskExecutor,
    Executor,
    SerialExecutor,
    local_workers,
    map_in_order,
    open_executor,
)
from curate.engine.runner import (
    CANDIDATES,
    CommitHook,
    StageOutcome,
    count_reasons,
    input_of,
    rows_of,
    run_stage,
    run_stages,
    run_whole,
)
from curate.engine.stage import Shard, ShardFunction, Stage
from curate.storage.parquet import encode_table
from curate.storage.run_folder import RunFolder

__all__ = [
    "CANDIDATES",
    "GPU",
    "CommitHook",
    "CommitRecord",
    "DaskExecutor",
    "Executor",
    "Progress",
    "RunFolder",
    "SerialExecutor",
    "Shard",
    "ShardFunction",
    "ShardIndex",
    "Source",
    "Stage",
    "StageOutcome",
    "Wait",
    "count_reasons",
    "distrust",
    "encode_table",
    "forget",
    "input_of",
    "local_workers",
    "map_in_order",
    "open_executor",
    "read_ids",
    "read_index",
    "read_records",
    "resume_source",
    "rows_of",
    "run_stage",
    "run_stages",
    "run_whole",
    "write_source",
]
