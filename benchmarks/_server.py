"""The measured app: the last solution, with routes that measure from inside a server.

It is started in the solution's folder, so `app` and `saje` are the solution's.
"""

import asyncio
import time
from statistics import quantiles
from typing import Any

from sanic import HTTPResponse, Request, Sanic, json

from app.info import bp as info_bp
from app.jobs import bp as jobs_bp
from saje.client import SajeClient
from saje.creator import create_saje
from saje.model import JobState

JOB = {"task": "nothing", "kwargs": {}}
LOOK = 0.002
"""Seconds between two looks at whether all jobs have ended."""


def create_app() -> Sanic[Any, Any]:
    """Build the application."""
    app = Sanic("SajeBenchmark")
    app.config.FALLBACK_ERROR_FORMAT = "json"
    app.config.SAJE_TASKS = "benchmarks._tasks"
    app.config.setdefault("SAJE_BACKLOG", 1_000_000)
    app.blueprint(info_bp)
    app.blueprint(jobs_bp)
    create_saje(app)
    app.add_route(plain, "/plain", methods=["POST"])
    app.add_route(burst, "/burst/<count:int>/<senders:int>", methods=["POST"])
    app.add_route(one_by_one, "/one-by-one/<count:int>", methods=["POST"])
    return app


async def plain(request: Request, saje: SajeClient) -> HTTPResponse:
    """Read a job and answer like POST /v1/job, but store nothing."""
    task = request.json["task"]
    return json({"uid": "", "task": task}, 202, headers={"Location": "/v1/job/"})


async def burst(
    request: Request, count: int, senders: int, saje: SajeClient
) -> HTTPResponse:
    """Send jobs, as many senders do it at the same time, until all have ended.

    Returns:
        The seconds until all were stored, and until all results could be read.
    """

    async def send(share: int) -> None:
        for _ in range(share):
            await saje.send(JOB)

    began = time.perf_counter()
    await asyncio.gather(*(send(count // senders) for _ in range(senders)))
    stored = time.perf_counter() - began
    while saje.depth() or (await saje.page(JobState.RUNNING, 1, None))[0]:
        await asyncio.sleep(LOOK)
    return json({"stored": stored, "ended": time.perf_counter() - began})


async def one_by_one(request: Request, count: int, saje: SajeClient) -> HTTPResponse:
    """Send a job, wait until its result can be read, pause, and so on.

    Returns:
        The milliseconds from sending a job to reading its result: the median, and what
        99 % don't exceed.
    """
    times = []
    for _ in range(count):
        began = time.perf_counter()
        uid = await saje.send(JOB)
        while (details := await saje.fetch(uid)) and not details.finished_at:
            await asyncio.sleep(0)
        times.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.005)
    cuts = quantiles(times, n=100, method="inclusive")
    return json({"median": cuts[49], "p99": cuts[98]})
