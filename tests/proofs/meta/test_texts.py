"""The checks of the texts find each fault that is put into a lesson."""

from __future__ import annotations

import pytest

from tests.proofs import texts
from tests.proofs.running import REPOSITORY

STEP = REPOSITORY.step(3)
NAME = f"steps/{STEP.name}/README.md"
LESSON = (REPOSITORY.root / NAME).read_text(encoding="utf-8")
TODO = STEP.todos[0]
FILES = f"`{TODO.file}` `tests/{STEP.name}/` `/v1/info`"
CALLS = "`python3 -m workshop check 1 && python3 -m workshop --wheelhouse DIR hint N.k`"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("", f"TODO {TODO.id}, {FILES}, {CALLS}", None),
        ("# Step 03", "# Step 3", ": its only first-level heading must be"),
        ("## The idea", "## Ideas", ": its sections are"),
        (f"### TODO {TODO.id}: ", "### TODO ", f"doesn't have '### TODO {TODO.id}: "),
        ("### TODO 3.2: ", "### TODO 3.2: How to ", "but step.toml has no such TODO"),
        (TODO.file, "server.py", f"with the file's name, {TODO.file}"),
        ("", "TODO 77.1", ":1: TODO 77.1 doesn't exist"),
        ("", "`python3 -m workshop check 77`", "There is no step 77"),
        ("", "`python3 -m workshop chek 1`", "the command chek doesn't exist"),
        ("", "`python3 -m workshop check 1 --fast`", "No such option: --fast"),
        ("", "`python3 -m workshop hint 1.77`", "There is no TODO 1.77"),
        ("", "`app/no.py`", "app/no.py doesn't exist"),
        ("", "`tests/01_last/`", "tests/01_last/ doesn't exist"),
    ],
)
def test_faults(old: str, new: str, fault: str | None) -> None:
    """Each kind of fault is found, and what is right isn't one."""
    assert old in LESSON
    source = LESSON.replace(old, new) if old else f"{new}\n\n{LESSON}"
    found = list(texts.problems(REPOSITORY, NAME, STEP, source))
    assert bool(found) == bool(fault), found
    assert fault is None or any(fault in problem for problem in found), found
