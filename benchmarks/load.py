"""2,000 jobs from 20 connections: none is lost or mixed up.

It starts solution 05 with 2 servers and the worker. Each job is a `hello` of 0 seconds.
When all of them have ended, it checks each answer, each job and each line of the file.
The exit status is 1 if anything is wrong.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx

from benchmarks._common import RunningApp, at_least, finish, parser, running_app

PATIENCE = 60.0
"""Seconds in which all jobs must have ended, from the first POST."""
SHOWN = 5
"""How many problems of one kind are printed."""
STATES = ["queued", "running", "succeeded"]
"""The states of a job, in the order of its lines."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Outcome:
    """What the app answered. Times are in seconds since the epoch."""

    posts: list[tuple[int, str]]
    """Status of each POST, and the uid (else the body, or what went wrong)."""
    details: dict[str, dict[str, Any]]
    """What GET answered for each uid, in the end."""
    first_post: float
    last_answer: float


def main() -> int:
    """Load the app, check and report; return the exit status."""
    options = parser("load", __doc__)
    options.add_argument("--jobs", type=at_least(1), default=2000)
    options.add_argument("--connections", type=at_least(1), default=20)
    chosen = options.parse_args()
    with running_app() as app:
        outcome = asyncio.run(load(app, chosen.jobs, chosen.connections))
        errors = errors_in(app.log)
        # The app still runs, but all jobs have ended, so all lines are there.
        file = app.db.read_bytes()
    report_speed(outcome, chosen.connections)
    uids = [uid for status, uid in outcome.posts if status == httpx.codes.ACCEPTED]
    count = chosen.jobs
    good = [
        passed(f"{count} answers 202", problems_of_posts(outcome.posts)),
        passed(f"{count} distinct uids", problems_of_uids(uids, count)),
        passed(f"{count} jobs succeeded, says GET", problems_of_jobs(uids, outcome)),
        passed(
            f"{count * len(STATES)} lines: {', '.join(STATES)} of each job, no other",
            problems_of_file(file, uids),
        ),
        passed("no error and no torn line in the app's log", errors),
    ]
    print(f"Empty lines in the file, which are harmless: {empty_lines(file)}")
    return 0 if all(good) else 1


async def load(app: RunningApp, jobs: int, connections: int) -> Outcome:
    """Post the jobs, wait until they have ended, and get each of them."""
    limits = httpx.Limits(
        max_connections=connections, max_keepalive_connections=connections
    )
    deadline = time.monotonic() + PATIENCE
    async with httpx.AsyncClient(
        base_url=app.url, limits=limits, timeout=30, trust_env=False
    ) as http:

        async def post(number: int) -> tuple[int, str]:
            kwargs = {"name": f"job {number}", "seconds": 0}
            try:
                reply = await http.post(
                    "/v1/job", json={"task": "hello", "kwargs": kwargs}
                )
            except httpx.HTTPError as error:
                return 0, repr(error)
            accepted = reply.status_code == httpx.codes.ACCEPTED
            return reply.status_code, reply.json()["uid"] if accepted else reply.text

        async def get(uid: str) -> dict[str, Any]:
            while True:
                reply = await http.get(f"/v1/job/{uid}")
                if reply.status_code != httpx.codes.OK:
                    return {"state": f"{reply.status_code} {reply.text}"}
                details: dict[str, Any] = reply.json()
                if details["finished_at"] or time.monotonic() > deadline:
                    return details
                await asyncio.sleep(0.05)

        first_post = time.time()
        posts = await side_by_side(post, range(jobs), connections)
        last_answer = time.time()
        # Asking for each job now would take time from the worker.
        while time.monotonic() < deadline:
            info = (await http.get("/v1/info")).raise_for_status().json()
            if info["queue_depth"] == 0:
                break
            await asyncio.sleep(0.05)
        uids = [uid for status, uid in posts if status == httpx.codes.ACCEPTED]
        answers = await side_by_side(get, uids, connections)
    details = dict(zip(uids, answers, strict=True))
    return Outcome(posts, details, first_post, last_answer)


async def side_by_side(
    call: Callable[[Item], Awaitable[Answer]], items: Iterable[Item], width: int
) -> list[Answer]:
    """Call with each item, ``width`` calls at a time; return the answers in order."""
    rest = iter(list(enumerate(items)))
    answers: dict[int, Answer] = {}

    async def take_turns() -> None:
        for index, item in rest:
            answers[index] = await call(item)

    await asyncio.gather(*(take_turns() for _ in range(width)))
    return [answers[index] for index in sorted(answers)]


def report_speed(outcome: Outcome, connections: int) -> None:
    """Print the rate of the POSTs, and when the last job had ended."""
    seconds = outcome.last_answer - outcome.first_post
    count = len(outcome.posts)
    print(
        f"{count} POST from {connections} connections took {seconds:.2f} s: "
        f"{count / seconds:.0f} per second"
    )
    ends = [d["finished_at"] for d in outcome.details.values() if d.get("finished_at")]
    if ends:
        last = datetime.fromisoformat(max(ends)).astimezone(UTC).timestamp()
        print(
            f"The last job ended {last - outcome.first_post:.2f} s after the first POST"
        )


def passed(claim: str, problems: Sequence[str]) -> bool:
    """Print whether a claim holds, and the first problems; return whether it does."""
    print(f"{'BAD' if problems else 'ok '} {claim}")
    for problem in problems[:SHOWN]:
        print(f"    {problem:.300}")
    if len(problems) > SHOWN:
        print(f"    and {len(problems) - SHOWN} more")
    return not problems


def problems_of_posts(posts: Iterable[tuple[int, str]]) -> list[str]:
    """Return each answer that isn't a 202."""
    return [
        f"status {status}: {text}"
        for status, text in posts
        if status != httpx.codes.ACCEPTED
    ]


def problems_of_uids(uids: Sequence[str], count: int) -> list[str]:
    """Return how many different ones there are, if that isn't ``count``."""
    distinct = len(set(uids))
    return [] if distinct == count else [f"there are {distinct}"]


def problems_of_jobs(uids: Iterable[str], outcome: Outcome) -> list[str]:
    """Return each job that has not succeeded."""
    states = {uid: outcome.details[uid]["state"] for uid in uids}
    return [f"{uid}: {s}" for uid, s in states.items() if s != "succeeded"]


def problems_of_file(file: bytes, uids: Iterable[str]) -> list[str]:
    """Return what is wrong in a job file.

    Each line must be a JSON object, and each of the jobs must have three of them, in
    the order of STATES. Empty lines are fine as well, because a writer adds one when
    it finds a line that another process is still writing. Readers skip them.
    """
    problems = []
    states: dict[str, list[str]] = defaultdict(list)
    *lines, rest = file.split(b"\n")
    if rest:
        problems.append(f"the last line has no end: {rest!r}")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            record = json.loads(line)
            states[record["uid"]].append(record["state"])
        except (KeyError, TypeError, ValueError):
            problems.append(f"line {number} is torn: {line!r}")
    for uid in dict.fromkeys(uids):
        if (found := states.pop(uid, [])) != STATES:
            problems.append(f"{uid} has the lines {', '.join(found) or '(none)'}")
    problems += [f"{uid} was never answered to a POST" for uid in states]
    return problems


def empty_lines(file: bytes) -> int:
    """Return how many lines of a job file are empty."""
    return file.split(b"\n")[:-1].count(b"")


def errors_in(log: Path) -> list[str]:
    """Return the lines of the app's log that report an error."""
    marks = (" ERROR: ", " CRITICAL: ", "Traceback", "torn line")
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if any(mark in line for mark in marks)]


if __name__ == "__main__":
    finish(main)
