"""create_saje(app): the only file of SAJE that works with the Sanic app object."""

from importlib import import_module
from multiprocessing import active_children
from multiprocessing.managers import SyncManager

from filelock import FileLock, Timeout
from sanic import Request, Sanic
from sanic.log import logger

from saje.backend import FileBackend
from saje.client import SajeClient
from saje.signals import end_with_parent, guard, stop_gracefully
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
    drain = app.config.setdefault("SAJE_DRAIN", 5)
    if type(drain) not in (int, float) or not 0 <= drain <= DAY:
        raise SystemExit(f"SAJE_DRAIN must be seconds, from 0 to {DAY}, not {drain!r}.")
    app.config.GRACEFUL_SHUTDOWN_TIMEOUT = drain
    # If you give Sanic() a log_config, name it here for the worker as well.
    app.config.setdefault("SAJE_LOG_CONFIG", None)
    # The file that keeps the jobs.
    app.config.SAJE_DB = str(app.config.get("SAJE_DB", "jobs.jsonl"))
    # Every process has its own registry of tasks. This fills the servers'.
    import_module(app.config.SAJE_TASKS)

    @app.main_process_start
    async def start(app: Sanic) -> None:
        app.ctx.saje_lock = await claim(app.config.SAJE_DB)
        # As Manager() does it, but with a function that runs in the new process first.
        # By now the only child of this process is Sanic's own Manager.
        manager = SyncManager()
        manager.start(guard, ([child.pid for child in active_children()],))
        app.shared_ctx.saje_queue = manager.Queue()

    @app.main_process_ready
    async def ready(app: Sanic) -> None:
        app.manager.manage(
            "SajeWorker",
            worker,
            {
                "saje_queue": app.shared_ctx.saje_queue,
                "drain": app.config.SAJE_DRAIN,
                "log_config": app.config.SAJE_LOG_CONFIG,
                "debug": app.debug,
                "tasks": app.config.SAJE_TASKS,
                "db": app.config.SAJE_DB,
            },
            transient=True,  # restarted when the code is reloaded
        )
        stop_gracefully(app.manager)

    @app.reload_process_start
    async def reloader_start(app: Sanic) -> None:
        end_with_parent()

    @app.before_server_start
    async def setup_saje(app: Sanic) -> None:
        end_with_parent()
        backend = FileBackend(app.config.SAJE_DB)
        backend.refresh()
        app.ctx.saje = SajeClient(app.shared_ctx.saje_queue, backend)

    def get_client(request: Request) -> SajeClient:
        client: SajeClient = request.app.ctx.saje
        return client

    app.ext.add_dependency(SajeClient, get_client)


async def claim(db: str) -> FileLock:
    """Claim the file for this app, and tidy up after an earlier run.

    Args:
        db: The file that keeps the jobs.

    Returns:
        The lock. It is held for as long as this process lives.

    Raises:
        SystemExit: Another app uses the file, or it can't be opened.
    """
    lock = FileLock(f"{db}.lock", blocking=False)
    try:
        backend = FileBackend(db)
        lock.acquire()
        unfinished = await backend.recover()
    except Timeout:
        raise SystemExit(
            f"Another app uses {db}. Stop it, or set SANIC_SAJE_DB to another file."
        ) from None
    except OSError as error:
        raise SystemExit(f"SAJE_DB must be a file to write to: {error}") from None
    if unfinished:
        logger.warning("Jobs that the last run left unfinished: %d", unfinished)
    return lock
