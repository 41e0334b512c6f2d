"""create_saje(app): the only file of SAJE that works with the Sanic app object."""

from multiprocessing import active_children
from multiprocessing.managers import SyncManager

from sanic import Sanic

# TODO 2.1: import stop_gracefully as well, and worker from saje.worker.
from saje.signals import end_with_parent, guard

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

    @app.main_process_start
    async def start(app: Sanic) -> None:
        # As Manager() does it, but with a function that runs in the new process first.
        # By now the only child of this process is Sanic's own Manager.
        manager = SyncManager()
        manager.start(guard, ([child.pid for child in active_children()],))
        app.shared_ctx.saje_queue = manager.Queue()

    # TODO 2.1: have Sanic run worker() as a process named "SajeWorker". `app.manager`
    # can do that, but it exists only in the main process, and only from
    # `main_process_ready` on. The process has to be `transient`, because then Sanic
    # restarts it when the code is reloaded. worker()'s docstring names its arguments.
    # Then let stop_gracefully() take over the stop signals from Sanic.

    @app.reload_process_start
    async def reloader_start(app: Sanic) -> None:
        end_with_parent()

    @app.before_server_start
    async def setup_saje(app: Sanic) -> None:
        end_with_parent()
