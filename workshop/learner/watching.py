"""`watch N`: test a step again whenever a file of it is saved, until Ctrl+C."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from workshop.core import apps, processes, results
from workshop.core.errors import WorkshopError
from workshop.core.output import console, say
from workshop.core.steps import Repository, Step
from workshop.learner.checking import Checkup, what_is_next

TICK = 0.2
"""Seconds between two looks at the files. An app has a few small ones, so reading them
costs nothing, and it works on network drives and in containers as well."""


def watch(repository: Repository, step: Step) -> None:
    """Check a step's app now and after each save, until the user presses Ctrl+C.

    Args:
        repository: The workshop.
        step: The step.

    Raises:
        WorkshopError: A file of the app is missing.
        KeyboardInterrupt: The user pressed Ctrl+C. No process is left then.
    """
    out = console()
    apps.require_files(repository, step)
    results.visit(repository, step)
    say(out, f"Save a file of steps/{step.name} to test it again, press Ctrl+C to end.")
    app = repository.starter(step)
    checked = ""  # the fingerprint of the app that was tested last

    def overtaken() -> bool:
        with suppress(OSError):  # an editor is replacing a file
            return results.fingerprint(app) != checked
        return True

    with processes.interrupted_by_termination():
        while True:
            if (now := settled(app)) == checked:
                continue
            checked = now
            try:
                apps.require_files(repository, step)
                checkup = Checkup(repository, step)
            except WorkshopError as error:
                say(out, f"\n{error}\nThe tests go on when this is put right.")
                continue
            except FileNotFoundError:  # an editor is replacing a file
                checked = ""
                continue
            checked = checkup.fingerprint
            say(out, "")
            if not checkup.run(overtaken):
                say(out, "You have saved a change, so the tests begin again.")
            elif checkup.result.green:
                goals = [f"- {goal}" for goal in step.objectives]
                say(out, "\n".join(["\nYou can now:", *goals]))
                say(out, what_is_next(repository, step))
            elif todo := results.red_todo(repository, step):
                say(out, f"In a second terminal: python3 -m workshop hint {todo}")


def settled(app: Path) -> str:
    """Return the fingerprint of an app that hasn't changed for a moment.

    An editor may write a file in several steps, and may save several files.
    """
    before = None
    while True:
        with suppress(OSError):  # an editor is replacing a file
            now = results.fingerprint(app)
            if now == before:
                return now
            before = now
        time.sleep(TICK)
