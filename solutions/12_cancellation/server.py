"""The application. Start it with: sanic server:create_app --factory --workers 2"""

from sanic import Sanic

from app.info import bp as info_bp
from app.jobs import bp as jobs_bp
from saje.creator import create_saje


def create_app() -> Sanic:
    """Build the application. Every process of Sanic calls this once.

    Returns:
        The application.
    """
    app = Sanic("SajeWorkshop")
    app.config.FALLBACK_ERROR_FORMAT = "json"
    app.config.REQUEST_MAX_SIZE = 2 * 1024 * 1024  # bytes; a larger body is a 413
    app.blueprint(info_bp)
    app.blueprint(jobs_bp)
    app.config.setdefault("SAJE_TASKS", "app.tasks")  # the module with the tasks
    create_saje(app)
    return app
