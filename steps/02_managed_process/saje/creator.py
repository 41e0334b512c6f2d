"""create_saje(app): wires SAJE into Sanic. The only file that knows both."""

from multiprocessing import Manager

from sanic import Sanic

# TODO 2.1: import ignore_second_stop from saje.signals, and worker from
# saje.worker.


def create_saje(app: Sanic) -> None:
    """Wire SAJE into an application. Call it once, in create_app().

    Args:
        app: The application. Its config has the settings, SAJE_*.
    """
    # Seconds that running jobs get to end in, when the server stops.
    app.config.setdefault("SAJE_DRAIN", 5)

    @app.main_process_start
    async def start(app: Sanic) -> None:
        manager = Manager()
        app.shared_ctx.saje_queue = manager.Queue()

    # TODO 2.1: write a main_process_ready listener that has Sanic manage
    # worker() as "SajeWorker", with transient=True and the keyword arguments
    # that worker() takes. Then call ignore_second_stop(app.config.SAJE_DRAIN).
