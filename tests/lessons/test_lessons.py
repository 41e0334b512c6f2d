"""Every lesson, carried out as it is read: its text and the code never part."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lessons.executor import execute
from workshop.bootstrap import ROOT
from workshop.steps import Repository
from workshop.verify import REPORTS

REPOSITORY = Repository(ROOT)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [step.name for step in REPOSITORY.steps()])
def test_lesson(name: str, tmp_path: Path) -> None:
    """What a lesson tells to do can be done, and what it shows is what comes."""
    step = next(step for step in REPOSITORY.steps() if step.name == name)
    reports = os.environ.get(REPORTS)
    execute(REPOSITORY, step, tmp_path, reports=Path(reports) if reports else None)
