"""create_saje(app): wires SAJE into Sanic. The only file that knows both."""

import asyncio
from functools import partial
from multiprocessing import Manager

from sanic import Sanic

from saje.signals import ignore_stop, stop_once  # TODO 2.1: and stop_gracefully

# TODO 2.1: import worker from saje.worker.


def create_saje(app: Sanic) -> None:
    """Wire SAJE into an application. Call it once, in create_app().

    Args:
        app: The application. Its config has the settings, SAJE_*.
    """
    # Seconds that running jobs get to end in, when the server stops.
    app.config.setdefault("SAJE_DRAIN", 5)
    app.config.GRACEFUL_SHUTDOWN_TIMEOUT = app.config.SAJE_DRAIN  # for requests, too

    @app.after_server_start
    async def started(app: Sanic) -> None:
        stop_once(asyncio.get_running_loop(), partial(app.stop, terminate=False))

    @app.before_server_stop
    async def stopping(app: Sanic) -> None:
        ignore_stop()

    @app.main_process_start
    async def start(app: Sanic) -> None:
        manager = Manager()
        app.shared_ctx.saje_queue = manager.Queue()

    # TODO 2.1: write a main_process_ready listener that has Sanic manage
    # worker() as "SajeWorker", with transient=True and the keyword arguments
    # that worker() takes. Then call stop_gracefully() with the manager and the
    # drain.
