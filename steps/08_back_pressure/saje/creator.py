"""create_saje(app): the only file of SAJE that works with the Sanic app object."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from multiprocessing import active_children
from typing import Any

from filelock import FileLock, Timeout
from sanic import Request, Sanic
from sanic.log import logger

from saje.backend import Backend
from saje.client import SajeClient
from saje.signals import end_with_parent, stop_gracefully
from saje.sqlite import SQLiteBackend
from saje.wake import Bell, new_tokens
from saje.worker import worker

DAY = 86_400  # seconds


def create_saje(app: Sanic) -> None:
    """Wire SAJE into an application. Call it once, in create_app().

    Args:
        app: The application. Its config has the settings, SAJE_*.

    Raises:
        SystemExit: A setting can't be used. The message says what to change.
    """
    # Seconds that running jobs, and requests, get to finish after a stop signal.
    drain = number(app, "SAJE_DRAIN", 5, 0, DAY, "seconds")
    app.config.GRACEFUL_SHUTDOWN_TIMEOUT = drain
    # How many worker processes there are, and how many jobs each runs at a time.
    workers = number(app, "SAJE_WORKERS", 2, 1, 64)
    concurrency = number(app, "SAJE_CONCURRENCY", 64, 1, 10_000)
    # If you give Sanic() a log_config, name it here for the worker as well.
    app.config.setdefault("SAJE_LOG_CONFIG", None)
    # How many jobs may wait. POST refuses any more.
    backlog = number(app, "SAJE_BACKLOG", 10_000, 1, 1_000_000)
    # Seconds for which a job can be looked up after it has ended.
    keep = number(app, "SAJE_KEEP", 7 * DAY, 1, 3650 * DAY, "seconds")
    # "full" or "normal", see `connect`.
    sync = app.config.setdefault("SAJE_SYNC", "full")
    if sync not in ("full", "normal"):
        raise SystemExit(f'SAJE_SYNC must be "full" or "normal", not {sync!r}.')
    # The file that keeps the jobs.
    db = str(app.config.get("SAJE_DB", "jobs.db"))
    open_backend = partial(SQLiteBackend, db, sync, workers, backlog)
    # Every process has its own registry of tasks. This fills the servers'.
    import_module(app.config.SAJE_TASKS)

    @app.main_process_start
    async def start(app: Sanic) -> None:
        app.ctx.saje_lock = await take_over(db, open_backend)
        app.shared_ctx.saje_tokens = new_tokens()

    @app.main_process_ready
    async def ready(app: Sanic) -> None:
        app.manager.manage(
            "SajeWorker",
            worker,
            {
                "tokens": app.shared_ctx.saje_tokens,
                # A worker needn't wait for the disk. If a power cut takes what it has
                # recorded last, those jobs run again.
                "open_backend": partial(SQLiteBackend, db, "normal", workers),
                "concurrency": concurrency,
                "drain": drain,
                "keep": keep,
                "tasks": app.config.SAJE_TASKS,
                "log_config": app.config.SAJE_LOG_CONFIG,
                "debug": app.debug,
                # Sanic's own Manager doesn't notice the end of this process.
                "others": [child.pid for child in active_children()],
            },
            transient=True,  # restarted when the code is reloaded
            workers=workers,
        )
        stop_gracefully(app.manager)

    @app.reload_process_start
    async def reloader_start(app: Sanic) -> None:
        end_with_parent()

    @app.before_server_start
    async def setup_saje(app: Sanic) -> None:
        end_with_parent()
        app.ctx.saje = SajeClient(open_backend(), Bell(app.shared_ctx.saje_tokens))

    def get_client(request: Request) -> SajeClient:
        client: SajeClient = request.app.ctx.saje
        return client

    app.ext.add_dependency(SajeClient, get_client)


def number(
    app: Sanic, name: str, default: float, low: float, high: float, unit: str = ""
) -> Any:
    """Return a setting that is a number.

    Args:
        app: The application.
        name: The name of the setting.
        default: Its value, if it isn't set.
        low: The smallest value that can be used.
        high: The largest one.
        unit: What is counted. Seconds may have a fraction.

    Raises:
        SystemExit: The value can't be used.
    """
    value = app.config.setdefault(name, default)
    kinds = (int, float) if unit == "seconds" else (int,)
    if type(value) not in kinds or not low <= value <= high:
        what = unit or "a whole number"
        raise SystemExit(f"{name} must be {what}, from {low} to {high}, not {value!r}.")
    return value


async def take_over(db: str, open_backend: Callable[[], Backend]) -> FileLock:
    """Lock the file for this app, and take up what an earlier run has left.

    Args:
        db: The file that keeps the jobs.
        open_backend: Opens the store in it.

    Returns:
        The lock. It is held for as long as this process lives.

    Raises:
        SystemExit: Another app uses the file, or it can't be used.
    """
    lock = FileLock(f"{db}.lock", blocking=False)
    try:
        lock.acquire()
        unfinished = await open_backend().recover()
    except Timeout:
        raise SystemExit(
            f"Another app uses {db}. Stop it, or set SANIC_SAJE_DB to another file."
        ) from None
    except OSError as error:
        raise SystemExit(f"SAJE_DB must name another file: {error}") from None
    if unfinished:
        logger.warning("Jobs that run again after the last stop: %d", unfinished)
    return lock
