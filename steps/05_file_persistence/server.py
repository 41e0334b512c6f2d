"""The application. Start it with: sanic server:create_app --factory --workers 2"""

from sanic import Request, Sanic
from sanic.exceptions import BadRequest, InvalidHeader

from app.info import bp as info_bp
from app.jobs import bp as jobs_bp
from saje.creator import create_saje


def create_app() -> Sanic:
    """Build the application; every Sanic process calls this once."""
    app = Sanic("SajeWorkshop")
    app.config.FALLBACK_ERROR_FORMAT = "json"
    app.config.REQUEST_MAX_SIZE = 2 * 1024 * 1024  # bytes; more is answered 413
    app.blueprint(info_bp)
    app.blueprint(jobs_bp)
    app.config.setdefault("SAJE_TASKS", "app.tasks")  # the module that has them
    create_saje(app)
    app.register_middleware(check_accept)
    return app


async def check_accept(request: Request) -> None:
    """Refuse a header `Accept` that cannot be read, as Sanic's error pages do not.

    Raises:
        BadRequest: It is not a list of media types (400).
    """
    try:
        _ = request.accept
    except InvalidHeader as error:
        del request.headers["accept"]
        raise BadRequest(f"Accept must be media types, such as */*: {error}") from error
