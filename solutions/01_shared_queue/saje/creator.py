"""create_saje(app): connects SAJE with a Sanic app. No other file uses the app."""

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
