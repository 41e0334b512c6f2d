"""The parts that the benchmarks share: the app, figures, and their exit."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NoReturn

import httpx

from workshop.core import environment
from workshop.core.errors import WorkshopError
from workshop.learner import serving
from workshop.learner.serving import RunningApp

SOLUTION = environment.ROOT / "solutions" / "05_file_persistence"
"""The app that is measured."""


def running_app() -> AbstractContextManager[RunningApp]:
    """Serve the solution as ``workshop demo`` does, on a free port, its data apart."""
    return serving.running(SOLUTION)


def client(app: RunningApp) -> httpx.Client:
    """Return a client of the app, which ignores any proxy in the environment."""
    return httpx.Client(base_url=app.url, timeout=30, trust_env=False)


def parser(name: str, docstring: str | None) -> argparse.ArgumentParser:
    """Return a benchmark's command line, still without options of its own.

    Takes: ``docstring``, of the benchmark's module.
    """
    return argparse.ArgumentParser(
        prog=f"python3 -m workshop bench {name}",
        description=docstring,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def at_least(smallest: int) -> Callable[[str], int]:
    """Return what reads an option's whole number and refuses one that is too small."""

    def number(text: str) -> int:
        if int(text) < smallest:
            raise argparse.ArgumentTypeError(f"{text} is less than {smallest}")
        return int(text)

    return number


def progress(text: str) -> None:
    """Print progress on standard error, because it isn't part of the result."""
    print(text, file=sys.stderr, flush=True)


def percentile_95(values: Sequence[float]) -> float:
    """Return the value that 95 % of the values (two at least) do not exceed."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def finish(main: Callable[[], int]) -> NoReturn:
    """Run a benchmark and exit with its status.

    Failures that can be expected are reported without a traceback: an app that does not
    start or stops answering, and Ctrl+C.
    """
    try:
        status = main()
    except WorkshopError as error:
        progress(str(error))
        status = environment.USAGE_ERROR
    except httpx.HTTPError as error:
        progress(f"The app gave the wrong answer, or none: {error!r}")
        status = 1
    except KeyboardInterrupt:
        progress("Stopped.")
        status = environment.INTERRUPTED
    sys.exit(status)
