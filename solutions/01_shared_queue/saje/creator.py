"""create_saje(app): the only file of SAJE that works with the Sanic app object."""

from multiprocessing import Manager

from sanic import Sanic


def create_saje(app: Sanic) -> None:
    """Wire SAJE into an application. Call it once, in create_app().

    Args:
        app: The application. Its config has the settings, SAJE_*.
    """

    @app.main_process_start
    async def start(app: Sanic) -> None:
        manager = Manager()
        app.shared_ctx.saje_queue = manager.Queue()
