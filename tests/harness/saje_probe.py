"""The learner's app, with routes through which a test sees inside its processes."""

import builtins
import os
import sys
from contextlib import nullcontext, suppress
from copy import copy
from functools import wraps
from textwrap import indent
from typing import Any
from unittest.mock import Mock, patch
from uuid import uuid4

import server
from saje_probe_fakes import FakeQueue, FullDisk
from sanic import Blueprint, HTTPResponse, Request, Sanic, json
from sanic.exceptions import SanicException
from sanic.log import logger
from sanic.worker.manager import WorkerManager
from sanic.worker.process import WorkerProcess

# Times a tenth of a second, after which Sanic gives up a process that is starting. The
# test has limits of its own, and knows how busy the machine is.
WorkerManager.THRESHOLD = WorkerProcess.THRESHOLD = 36_000

if os.environ.get("SAJE_PROBE_PRELOAD"):
    import preloaded as preloaded

bp = Blueprint("probe", url_prefix="/probe")


@bp.get("/pid")
async def pid(request: Request) -> HTTPResponse:
    """Tell which process this is."""
    return json({"pid": os.getpid()})


@bp.get("/queue")
async def queue(request: Request) -> HTTPResponse:
    """Tell what shared_ctx.saje_queue is, and what its qsize() raises."""
    found: Any = getattr(request.app.shared_ctx, "saje_queue", None)
    on_ctx = hasattr(request.app.ctx, "saje_queue")
    raised = None
    try:
        found.qsize()
    except Exception as error:
        raised = repr(error)
    return json({"type": type(found).__name__, "on_ctx": on_ctx, "raised": raised})


@bp.post("/queue")
async def put(request: Request) -> HTTPResponse:
    """Put the text of the body on the queue."""
    request.app.shared_ctx.saje_queue.put_nowait(request.body.decode())
    return json({})


@bp.post("/define")
async def define(request: Request) -> HTTPResponse:
    """Define a class from its source, and answer what happened to the registry."""
    from app.tasks import Hello
    from saje.task import Task

    before, names = dict(Task.registry), {"Hello": Hello, "Task": Task}
    raised = "nothing"
    with patch.dict(Task.registry):
        try:
            exec(request.json["source"], names)
        except Exception as error:
            raised = type(error).__name__
        changed = {
            name: kind.__name__
            for name, kind in Task.registry.items()
            if before.get(name) is not kind
        }
    return json({"raised": raised, "changed": changed})


@bp.post("/settle")
async def settle(request: Request) -> HTTPResponse:
    """Ask the main process for what it has: it logs so once it listens."""
    request.app.m.scale(2)
    return json({})


@bp.post("/restart")
async def restart(request: Request) -> HTTPResponse:
    """Ask Sanic to restart the worker."""
    request.app.m.restart("Sanic-SajeWorker-0")
    return json({})


@bp.post("/setting")
async def setting(request: Request) -> HTTPResponse:
    """Wire another app with a setting, and answer with what it is refused for."""
    from saje.creator import create_saje

    name, value = f"SANIC_{request.json['name']}", request.json["value"]
    refused = None
    with patch.dict(os.environ, {name: value}):
        app = Sanic("SajeSetting")
        app.config.setdefault("SAJE_TASKS", request.app.config.get("SAJE_TASKS"))
        try:
            create_saje(app)
        except SystemExit as error:
            refused = str(error)
        finally:
            Sanic.unregister_app(app)
    return json({"refused": refused})


async def log_what_is_managed(app: Sanic) -> None:
    """Log the drain of the SajeWorker, and whether a reload restarts it."""
    transient = app.manager.transient
    for name, worker in (app.manager.durable | transient).items():
        if "SajeWorker" in name:
            drain = worker.server_settings.get("drain", app.config.SAJE_DRAIN)
            logger.info("Managed: drain %s, transient %s", drain, name in transient)


def log_what_is_sent(client: Any) -> None:
    """Log each job once SajeClient.send() is through with it.

    The header ``probe-raises`` of a request names an exception that send() raises. The
    header ``probe-broken`` says what doesn't work: the disk or the queue. From step 06
    on, the header ``probe-limit`` names a limit of LIMITS for the database. The header
    ``probe-depth`` is what depth() of a client returns that the handler has asked for.
    """
    original, depth = client.send, client.depth

    @wraps(original)
    async def send(self: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
        headers: Any = {}
        with suppress(SanicException):  # there is no request
            headers = Request.get_current().headers
        if kind := headers.get("probe-raises"):
            raise getattr(builtins, kind)("on purpose")
        if broken := headers.get("probe-broken"):
            self = copy(self)
            if broken == "disk":
                self.backend = FullDisk()
            else:
                self.queue = FakeQueue(error=EOFError())
        limit: Any = nullcontext()
        if "probe-limit" in headers:
            from saje_probe_sqlite import limited

            limit = limited(self.backend, headers["probe-limit"])
        with limit:
            result = await original(self, job, *args, **kwargs)
        logger.info("Sent: %s %s", job, result or "")  # from step 06 on the uid
        return result

    @wraps(depth)
    def report_depth(self: Any) -> int:
        with suppress(SanicException):  # there is no request
            request = Request.get_current()
            # This is where sanic-ext puts what it injects into a handler.
            injected = any(value is self for value in request.match_info.values())
            if injected and (wanted := request.headers.get("probe-depth")):
                return int(wanted)
        return int(depth(self))

    client.send = send
    client.depth = report_depth


async def call_in_server(request: Request, client: Any) -> dict[str, Any]:
    """Run some calls in this server.

    Args:
        request: It has the source of the calls, and what they need.
        client: The client of this server, which the calls know by this name.

    Returns:
        What the calls return and raise.
    """
    names = dict(request.json["names"], client=client)
    source = "async def calls():\n" + indent(request.json["source"], "    ")
    returned = raised = None
    if scheduler := sys.modules.get("saje.scheduler"):
        # A scheduler that a test runs in this server must not end the server.
        scheduler.faulthandler = Mock()  # type: ignore[attr-defined]
    try:
        exec(request.json["setup"], names)
        exec(source, names)
        returned = await names["calls"]()
    except BaseException as error:
        # The log then shows where in the app it was raised.
        logger.exception("An exception in the calls of a test.")
        raised = f"{type(error).__name__}: {error}"
    return {"returned": returned, "raised": raised}


def create_app() -> Sanic:
    """Build the learner's application and add the probe to it."""
    app = server.create_app()
    app.blueprint(bp)
    app.main_process_ready(log_what_is_managed)
    with suppress(ImportError):
        from saje.client import SajeClient

        log_what_is_sent(SajeClient)

        # A default, and yet the plain type: so that a handler for which nothing is
        # registered can say so.
        async def client(
            request: Request,
            saje: SajeClient = None,  # type: ignore[assignment]
        ) -> HTTPResponse:
            if saje is not None and not hasattr(saje, "probe_id"):
                saje.probe_id = str(uuid4())
            found = getattr(saje, "probe_id", None)
            return json({"type": type(saje).__name__, "id": found})

        async def call(
            request: Request,
            saje: SajeClient = None,  # type: ignore[assignment]
        ) -> HTTPResponse:
            return json(await call_in_server(request, saje))

        # Each app builds its own: the annotation must be the app's class.
        app.add_route(client, "/probe/client")
        app.add_route(call, "/probe/call", methods=["POST"])
    return app
