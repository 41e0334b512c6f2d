"""create_saje(app): the only file of SAJE that works with the Sanic app object."""

# TODO 1.1: import Manager from multiprocessing.

from sanic import Sanic


def create_saje(app: Sanic) -> None:
    """Wire SAJE into an application. Call it once, in create_app().

    Args:
        app: The application. Its config has the settings, SAJE_*.
    """
    # TODO 1.1: share one queue between all processes. Make it once, in the main
    # process and before any other process starts, which is what the listener
    # `main_process_start` is for. A Manager's Queue() can be passed to other processes.
    # Everybody will look for it as `app.shared_ctx.saje_queue`.
