"""Three ways to do slow work inside a server, each with a weakness of its own."""

import asyncio
import time

from sanic import Blueprint, HTTPResponse, Request, json
from sanic.exceptions import BadRequest
from sanic.log import logger

bp = Blueprint("slow", url_prefix="/v1")


def burn(seconds: float) -> None:
    """Keep one processor core busy for `seconds`, as a computation would."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def seconds_of(request: Request) -> float:
    """Take ?seconds= from the query, 2 if it is not there.

    Raises:
        BadRequest: It is no number between 0 and 60.
    """
    try:
        seconds = float(request.args.get("seconds", "2"))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 60:
        raise BadRequest("?seconds= must be a number between 0 and 60.")
    return seconds


@bp.get("/waiting")
async def waiting(request: Request) -> HTTPResponse:
    """Wait as an async handler should: other requests go on meanwhile."""
    seconds = seconds_of(request)
    await asyncio.sleep(seconds)
    return json({"waited": seconds})


@bp.get("/blocking")
async def blocking(request: Request) -> HTTPResponse:
    """Compute in the handler: every request to this process waits."""
    seconds = seconds_of(request)
    burn(seconds)
    return json({"computed": seconds})


@bp.get("/add-task")
async def add_task(request: Request) -> HTTPResponse:
    """Answer at once, and compute in a background task of this process."""
    seconds = seconds_of(request)

    async def compute() -> None:
        # Let the answer go out first. Then the task has the event loop.
        await asyncio.sleep(0.1)
        logger.info("Background task started: %s s", seconds)
        burn(seconds)
        logger.info("Background task finished")

    request.app.add_task(compute())
    return json({"accepted": seconds}, status=202)
