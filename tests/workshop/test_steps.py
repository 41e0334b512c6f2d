"""The steps: what is wrong with one is said in a line, with its place."""

from __future__ import annotations

import pytest

from tests.workshop.conftest import RunWorkshop
from workshop.core.steps import Repository

TOML = "steps/01_first/step.toml"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "The first"', "title = ", "Invalid value"),
        ("title", "titel", "KeyError('title')"),
        ("file", "path", "unexpected keyword argument 'path'"),
    ],
)
def test_faults(
    small: Repository, workshop: RunWorkshop, old: str, new: str, message: str
) -> None:
    """A step.toml that can't be used is refused, with its place."""
    path = small.root / TOML
    path.write_text(path.read_text().replace(old, new, 1))
    done = workshop()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{TOML} isn't as it must be: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
