"""create_saje(app): wires SAJE into Sanic. The only file that knows both."""

# TODO 1.1: import Manager from multiprocessing.

from sanic import Sanic


def create_saje(app: Sanic) -> None:
    """Wire SAJE into an application. Call it once, in create_app().

    Args:
        app: The application. Its config has the settings, SAJE_*.
    """

    # TODO 1.1: write a main_process_start listener that puts a Manager's Queue
    # on app.shared_ctx, as saje_queue.
