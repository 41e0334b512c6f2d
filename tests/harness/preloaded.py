"""Lets Sanic's processes begin with what they import, for proofs that start many apps.

They come from multiprocessing's fork server, which has imported this. Nothing of the
main process is inherited, as with Sanic's own way to start them. Only the environment
has to be handed over, because Sanic names its processes there.
"""

import os
from multiprocessing import set_forkserver_preload, spawn
from typing import Any

import filelock as filelock
import sanic_ext as sanic_ext
import ujson as ujson
from sanic import Sanic
from sanic.logging.formatter import AutoFormatter
from sanic.worker import serve as serve

get_preparation_data, prepare = spawn.get_preparation_data, spawn.prepare


def with_environment(name: str) -> dict[str, Any]:
    """Return what a new process has to know, with the environment."""
    return {**get_preparation_data(name), "environment": dict(os.environ)}


def prepare_with_environment(data: dict[str, Any]) -> None:
    """Prepare a new process, and set its environment."""
    os.environ.update(data.pop("environment"))
    # Sanic has read this when it was imported.
    AutoFormatter.IDENT = os.environ.get("SANIC_WORKER_IDENTIFIER", AutoFormatter.IDENT)
    prepare(data)


spawn.get_preparation_data = with_environment
spawn.prepare = prepare_with_environment
set_forkserver_preload([__name__])
Sanic.start_method = "forkserver"
