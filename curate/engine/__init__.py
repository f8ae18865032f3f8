"""Engine: shards, commit records, resume and executors. It knows nothing of images."""

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
    input_of,
    run_stage,
    run_stages,
    run_whole,
)
from curate.engine.shard_rows import count_reasons, rows_of
from curate.engine.stage import Shard, ShardFunction, Stage
from curate.storage.parquet import encode_table
from curate.storage.run_folder import RunFolder
