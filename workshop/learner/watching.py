"""``watch N``: test a step again whenever a file of it is saved, until Ctrl+C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import watchfiles

from workshop.core import processes, results
from workshop.core.errors import WorkshopError
from workshop.core.output import console, say
from workshop.core.steps import Repository
from workshop.learner.checking import Checkup, require_todos, what_is_next

TICK = 50
"""Milliseconds between two looks at the tests."""
BURST = 400
"""Milliseconds for which several saves in a row count as one."""
PATIENCE = 20
"""Ticks for which a step may be unreadable, because an editor is replacing a file."""


def watch(repository: Repository, number: int, poll: bool) -> None:
    """Check a step's app now and after each save, until the user presses Ctrl+C.

    Args:
        repository: The workshop.
        number: The step's number.
        poll: Whether to compare the files again and again, for disks on which the
            system doesn't report changes.

    Raises:
        WorkshopError: The step has nothing to check, or its files can't be watched.
        KeyboardInterrupt: The user pressed Ctrl+C. No process is left then.
    """
    out = console()
    step = repository.step(number)
    require_todos(repository, step)
    results.visit(repository, step)
    say(out, f"Save a file of steps/{step.name} to test it again, press Ctrl+C to end.")
    app = repository.starter(step)
    checked = ""  # the fingerprint of the app that was tested last
    look = True
    failed = 0  # how often in a row the step could not be read
    with processes.interrupted_by_termination():
        saves = changes(repository, poll)

        def overtaken() -> bool:
            if not next(saves):
                return False
            with suppress(OSError):  # an editor is replacing a file
                return results.fingerprint(app) != checked
            return True

        while True:
            look = next(saves) or look
            if not look:
                continue
            try:
                step = repository.step(number)
                require_todos(repository, step)
                checkup = Checkup(repository, step, app)
            except (WorkshopError, OSError) as error:
                failed += 1
                if failed == PATIENCE:
                    say(out, f"\n{error}\nThe tests go on when this is put right.")
                    checked = ""
                continue
            look, failed = False, 0
            if checkup.fingerprint == checked:
                continue
            checked = checkup.fingerprint
            say(out, "")
            if not checkup.run(overtaken):
                say(out, "You have saved a change, so the tests begin again.")
                look = True
            elif checkup.result.green:
                goals = [f"- {goal}" for goal in step.objectives]
                say(out, "\n".join(["\nYou can now:", *goals]))
                say(out, what_is_next(repository, step))
            elif todo := results.red_todo(repository, step):
                say(out, f"In a second terminal: python3 -m workshop hint {todo}")


def changes(repository: Repository, poll: bool) -> Iterator[bool]:
    """Yield at each tick whether a file below steps/ has changed.

    Raises:
        WorkshopError: The system can't watch the files.
    """
    folder = repository.root / "steps"
    try:
        # Without a filter, because there is no tick if a filter drops all changes.
        for found in watchfiles.watch(
            folder,
            watch_filter=None,
            debounce=BURST,
            step=TICK,
            rust_timeout=TICK,
            yield_on_timeout=True,
            force_polling=poll or None,
        ):
            yield bool(found)
    except (OSError, RuntimeError) as error:
        raise WorkshopError(
            f"The files in {folder} can't be watched: {error}.\n"
            "To compare them again and again: python3 -m workshop watch --poll"
        ) from None
