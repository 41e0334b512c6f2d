"""The names that the calls of step 11 use.

The file is one for all of the lesson: what a call has stored, a later one finds.
"""

from types import SimpleNamespace
from typing import Any

from sanic.worker.constants import ProcessState

from saje.model import JobState, NewJob, Outcome, new_uid
from saje.sqlite import SQLiteBackend
from saje.supervisor import Supervisor
from saje.wake import Bell, new_tokens

backend = SQLiteBackend("calls.db")
nobody: Any = None
supervisor = Supervisor(nobody, nobody, Bell(new_tokens()))
process: Any = SimpleNamespace(name="Sanic-SajeWorker-0", pid=4711, exitcode=-9)


def new_job() -> NewJob:
    """Return a job with a uid of its own."""
    return NewJob(new_uid(), "hello", '{"seconds": 0}')


async def trial(file: str) -> None:
    """Let one worker after the other run five jobs, one of which kills its worker."""
    store = SQLiteBackend(file)
    uids = [await store.add(new_job()) for _ in range(5)]
    for worker in "ABCDEFG":
        await store.beat(worker, 15)
        _, claims, _ = await store.turn([], worker, 64)
        if uids[2] in [claim.uid for claim in claims]:
            await store.reap([worker])
            print(worker, "died with", len(claims))
        elif claims:
            done = [Outcome(c.seq, c.attempt, JobState.SUCCEEDED) for c in claims]
            await store.turn(done, worker, 0)
            print(worker, "succeeded with", len(claims))
