"""Evenness: the lines that are new to read in a step. Test_proofs has the others."""

from __future__ import annotations

import pytest

from tests.proofs import evenness
from tests.workshop.conftest import MORE, write
from workshop.core.steps import Repository

STARTER = "steps/02_second/app/more.py"


def test_lines_to_read(small: Repository) -> None:
    """Blank lines and comments don't count, nor do lines of the solution before."""
    # All of answer.py is new in step 01, and all of more.py in step 02.
    assert evenness.reading(small) == {"01_first": 5, "02_second": 3}
    more = MORE.replace("    return 0", '    """More."""\n\n    # one\n    return 0')
    write(small.root / STARTER, more)
    assert evenness.reading(small)["02_second"] == 4


@pytest.mark.parametrize(("lines", "problems"), [(250, 0), (251, 1)])
def test_too_much_to_read(small: Repository, lines: int, problems: int) -> None:
    """A step with too much to read is found, however little there is to write."""
    text = MORE + "".join(f"x{n} = {n}\n" for n in range(lines - 3))
    for name in (STARTER, STARTER.replace("steps", "solutions")):
        write(small.root / name, text)
    found = evenness.check(small)
    assert len(found) == problems
    assert all(p.startswith(f"steps/02_second: {lines} new lines") for p in found)
