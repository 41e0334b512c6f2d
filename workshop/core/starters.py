"""The starters as the workshop ships them, whatever the learner has made of them.

``solutions/starters.json`` holds what each starter has in place of its solution's
lines: the hunks with a TODO, and no more. So a starter can be made again without git
and without a network, and no file stands in the repository twice.

After a change of a starter or a solution: ``python3 -m workshop.core.starters``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workshop.core import apps
from workshop.core.apps import Hunk
from workshop.core.errors import WorkshopError
from workshop.core.steps import Repository, Step

Starters = dict[str, dict[str, Any]]
"""What the JSON file holds, by the name of the step."""


def file_of(repository: Repository) -> Path:
    """Return the file that holds the starters."""
    return repository.root / "solutions" / "starters.json"


def describe(repository: Repository) -> Starters:
    """Tell in what the starters that are there differ from their solutions."""
    found: Starters = {}
    for step in repository.steps():
        if not step.todos:
            continue
        starter = texts(repository.starter(step))
        solution = texts(repository.solution(step))
        changes = {}
        for name, text in starter.items():
            old = lines(solution[name])
            hunks = apps.hunks(old, lines(text))
            if hunks:
                changes[name] = [
                    {"line": h.old_line, "count": len(h.old), "starter": list(h.new)}
                    for h in hunks
                ]
        found[step.name] = {"digest": digest(starter), "changes": changes}
    return found


def read(repository: Repository, step: Step) -> dict[str, bytes]:
    """Return the files of a step's starter, as the workshop ships it, by their paths.

    Raises: WorkshopError when the step has nothing to edit, or when the solution that
    the starter is made of was changed.
    """
    if not step.todos:
        raise WorkshopError(f"Step {step.number:02} has nothing to edit.")
    return read_named(repository, step.name)


def read_named(repository: Repository, name: str) -> dict[str, bytes]:
    """Do the same as `read` for a step whose own folder may be missing."""
    solution = texts(repository.root / "solutions" / name)
    try:
        known = json.loads(file_of(repository).read_text(encoding="utf-8"))[name]
        starter = {
            path: "".join(
                apps.patched(
                    lines(text),
                    [
                        Hunk(0, c["line"], ("",) * c["count"], tuple(c["starter"]))
                        for c in known["changes"].get(path, [])
                    ],
                )
            )
            for path, text in solution.items()
        }
        right = digest(starter) == known["digest"]
    except (OSError, ValueError, KeyError):
        right = False
    if not right:
        raise WorkshopError(
            f"solutions/{name} or solutions/starters.json is not as the workshop "
            "ships it.\nPut both back (from git, or from the download) and try again."
        )
    return {path: text.encode() for path, text in starter.items()}


def texts(folder: Path) -> dict[str, str]:
    """Return the texts of an app's files, with the same ends of lines everywhere."""
    files = apps.app_files(folder)
    return {name: path.read_text(encoding="utf-8") for name, path in files.items()}


def lines(text: str) -> tuple[str, ...]:
    """Return the lines of a text, with their ends."""
    return tuple(text.splitlines(keepends=True))


def digest(files: Mapping[str, str]) -> str:
    """Return what tells one app's files from any other's."""
    text = json.dumps(files, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write(repository: Repository) -> None:
    """Describe the starters that are there, for ``read``."""
    text = json.dumps(describe(repository), indent=1, ensure_ascii=False)
    file_of(repository).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Repository(Path(__file__).resolve().parents[2]))
