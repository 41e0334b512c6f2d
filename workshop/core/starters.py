"""The starters as the workshop ships them, whatever the learner has made of them.

`solutions/starters.json` holds the lines that each starter has in place of its
solution's lines. So a starter can be made again without git and without a network.

After a change of a starter or a solution, `python -m tests.proofs.propagate` writes it.
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


def file_of(repository: Repository) -> Path:
    """Return the file that holds the starters."""
    return repository.root / "solutions" / "starters.json"


def write(repository: Repository) -> None:
    """Save how the present starters differ from their solutions, for `read`."""
    found: dict[str, Any] = {}
    for step in repository.steps():
        if not step.todos:
            continue
        starter = texts(repository.starter(step))
        solution = texts(repository.solution(step))
        changes = {}
        for name, text in starter.items():
            if hunks := apps.hunks(lines(solution[name]), lines(text)):
                changes[name] = [
                    {"line": h.old_line, "count": len(h.old), "starter": list(h.new)}
                    for h in hunks
                ]
        found[step.name] = {"digest": digest(starter), "changes": changes}
    text = json.dumps(found, indent=1, ensure_ascii=False)
    file_of(repository).write_text(text + "\n", encoding="utf-8")


def read(repository: Repository, step: Step) -> dict[str, bytes]:
    """Return the files of a step's starter, as shipped, by their paths in the app.

    Raises:
        WorkshopError: Somebody has changed the solution, from which it is made.
    """
    try:
        starter = texts(repository.solution(step))
        known = json.loads(file_of(repository).read_text(encoding="utf-8"))[step.name]
        for path, changes in known["changes"].items():
            hunks = [
                Hunk(0, c["line"], ("",) * c["count"], tuple(c["starter"]))
                for c in changes
            ]
            starter[path] = "".join(apps.patched(lines(starter[path]), hunks))
        right = digest(starter) == known["digest"]
    except (OSError, ValueError, KeyError):
        right = False
    if not right:
        raise WorkshopError(
            f"solutions/{step.name} or solutions/starters.json is not as the workshop "
            "ships it.\nGet both back, from git or from the download, and type the "
            "command again."
        )
    return {path: text.encode() for path, text in starter.items()}


def texts(folder: Path) -> dict[str, str]:
    """Return the texts of an app's files, with the same line breaks on every system."""
    files = apps.app_files(folder)
    return {name: path.read_text(encoding="utf-8") for name, path in files.items()}


def lines(text: str) -> tuple[str, ...]:
    """Return the lines of a text with their line breaks."""
    return tuple(text.splitlines(keepends=True))


def digest(files: Mapping[str, str]) -> str:
    """Return a digest of some texts, which changes with any of them."""
    text = json.dumps(files, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
