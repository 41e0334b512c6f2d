"""Three ways to do slow work inside a server, and each has its own weakness."""

import asyncio
import time

from sanic import Blueprint, HTTPResponse, Request, json
from sanic.exceptions import BadRequest
from sanic.log import logger

bp = Blueprint("slow", url_prefix="/v1")


def burn(seconds: float) -> None:
    """Keep one processor core busy, as a computation would.

    Args:
        seconds: For how long.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def seconds_of(request: Request) -> float:
    """Read ?seconds= from the query.

    Args:
        request: The request that asks for slow work.

    Returns:
        The number of seconds, or 2 if the query doesn't say.

    Raises:
        BadRequest: If it isn't a number between 0 and 60.
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
    """Wait as an async handler should, so that other requests go on meanwhile."""
    seconds = seconds_of(request)
    await asyncio.sleep(seconds)
    return json({"waited": seconds})


@bp.get("/blocking")
async def blocking(request: Request) -> HTTPResponse:
    """Compute in the handler, so that every other request to this process waits."""
    seconds = seconds_of(request)
    burn(seconds)
    return json({"computed": seconds})


@bp.get("/add-task")
async def add_task(request: Request) -> HTTPResponse:
    """Answer at once, then compute in a background task of the same process."""
    seconds = seconds_of(request)

    async def compute() -> None:
        # Let the answer go out first, because burn() keeps the event loop to itself.
        await asyncio.sleep(0.1)
        logger.info("Background task started: %s s", seconds)
        burn(seconds)
        logger.info("Background task finished")

    request.app.add_task(compute())
    return json({"accepted": seconds}, status=202)
