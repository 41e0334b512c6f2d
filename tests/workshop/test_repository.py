"""This workshop itself: its chain, its evenness, its lessons."""

from __future__ import annotations

import re
from pathlib import Path

from workshop import chain, diagrams, evenness, lessons, starters
from workshop.bootstrap import ROOT, requirement_lines
from workshop.steps import Repository

REPOSITORY = Repository(ROOT)


def listed(problems: list[str]) -> str:
    """Return problems as a test shows them."""
    return "\n" + "\n".join(problems)


def test_every_line_is_accounted_for() -> None:
    """Starter N is solution N-1 and its TODOs; solution N is starter N done."""
    problems = chain.check(REPOSITORY)
    assert not problems, listed(problems)


def test_starters_can_be_made_again() -> None:
    """The JSON file has them as they are; else type python3 -m workshop.starters"""
    for step in REPOSITORY.steps()[1:]:
        starter = starters.texts(REPOSITORY.starter(step))
        made = starters.read(REPOSITORY, step)
        assert {name: made[name].decode() for name in made} == starter, step.name


def test_steps_are_even() -> None:
    """No step asks for more than 60 lines, or twice the median."""
    problems = evenness.check(REPOSITORY)
    assert not problems, listed(problems)


def test_lessons() -> None:
    """Every lesson has its sections, and what it names exists."""
    problems = lessons.check(REPOSITORY)
    assert not problems, listed(problems)


def test_every_diagram_has_its_picture() -> None:
    """workshop/web/diagrams has them; else type python3 -m workshop.diagrams"""
    problems = diagrams.check(REPOSITORY)
    assert not problems, listed(problems)


def test_each_step_has_a_suite_and_a_solution() -> None:
    """One name, the same in steps/, solutions/ and tests/; and no others."""
    names = {step.name for step in REPOSITORY.steps() if step.todos}
    for folder in ("solutions", "tests"):
        found = {path.name for path in (ROOT / folder).glob("[0-9][0-9]_*")}
        assert found == names, folder


def test_every_requirement_is_pinned() -> None:
    """requirements.txt has one version of each package, and no index of its own."""
    for line in requirement_lines():
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; .+)?", line), line


def test_direct_requirements_are_the_pinned_ones() -> None:
    """pyproject.toml asks for the versions that requirements.txt has."""
    asked = re.findall(r'^    "(\S+==\S+)",$', read("pyproject.toml"), re.MULTILINE)
    assert len(asked) > 5
    assert set(asked) <= set(requirement_lines())


def read(name: str) -> str:
    """Return the text of a file of the repository."""
    return Path(ROOT / name).read_text(encoding="utf-8")
