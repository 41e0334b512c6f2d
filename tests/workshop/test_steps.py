"""The steps: what is wrong with one is said in a line, with its place."""

from __future__ import annotations

import pytest

from tests.workshop.conftest import RunWorkshop
from workshop.core.errors import WorkshopError
from workshop.core.steps import Repository

TOML = "steps/01_first/step.toml"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "The first"', "title = ", TOML),
        ("title", "titel", "unknown key titel"),
        ("minutes = 10", 'minutes = "10"', "minutes must be a"),
        ('objectives = ["answer"]', "", "objectives must be a list"),
        ('id = "1.2"', 'id = "1.3"', "its id is '1.3'"),
        ('"Which number?", ', "", "todo 1.1: it needs 3 hints"),
    ],
)
def test_faults(small: Repository, old: str, new: str, message: str) -> None:
    """A step.toml that can't be used is refused, with its place."""
    assert small.steps()
    path = small.root / TOML
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(WorkshopError, match=TOML) as error:
        small.steps()
    assert message in str(error.value)


def test_no_traceback(small: Repository, workshop: RunWorkshop) -> None:
    """The commands say it in one line."""
    (small.root / TOML).unlink()
    done = workshop()
    assert done.returncode == 2
    assert TOML in done.stderr
    assert "Traceback" not in done.stderr
