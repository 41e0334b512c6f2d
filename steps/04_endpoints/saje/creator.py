"""create_saje(app): wires SAJE into Sanic. The only file that knows both."""

import asyncio
from functools import partial
from importlib import import_module
from multiprocessing import Manager

from sanic import Request, Sanic

from saje.client import SajeClient
from saje.signals import ignore_stop, stop_gracefully, stop_once
from saje.worker import worker


def create_saje(app: Sanic) -> None:
    """Wire SAJE into an application. Call it once, in create_app().

    Args:
        app: The application. Its config has the settings, SAJE_*.
    """
    # Seconds that running jobs get to end in, when the server stops.
    app.config.setdefault("SAJE_DRAIN", 5)
    app.config.GRACEFUL_SHUTDOWN_TIMEOUT = app.config.SAJE_DRAIN  # for requests, too
    # Every process has a registry of its own. This fills the servers'.
    import_module(app.config.SAJE_TASKS)

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

    @app.main_process_ready
    async def ready(app: Sanic) -> None:
        app.manager.manage(
            "SajeWorker",
            worker,
            {
                "saje_queue": app.shared_ctx.saje_queue,
                "drain": app.config.SAJE_DRAIN,
                "tasks": app.config.SAJE_TASKS,
            },
            transient=True,  # a reload of the code restarts it
        )
        stop_gracefully(app.manager, app.config.SAJE_DRAIN)

    @app.before_server_start
    async def setup_saje(app: Sanic) -> None:
        app.ctx.saje = SajeClient(app.shared_ctx.saje_queue)

    def get_client(request: Request) -> SajeClient:
        client: SajeClient = request.app.ctx.saje
        return client

    app.ext.add_dependency(SajeClient, get_client)
