"""This workshop itself: its chain, its evenness, its lessons."""

from __future__ import annotations

import re
import tomllib

from tests.proofs import chain, evenness, texts
from tests.proofs.running import REPOSITORY, listed
from workshop.core import starters
from workshop.core.environment import ROOT, requirement_lines


def test_every_line_is_accounted_for() -> None:
    """Starter N is solution N-1 and its TODOs; solution N is starter N done."""
    problems = chain.check(REPOSITORY)
    assert not problems, listed(problems)


def test_starters_can_be_made_again() -> None:
    """The JSON file has them; else type python -m tests.proofs.propagate"""
    for step in REPOSITORY.steps()[1:]:
        starter = starters.texts(REPOSITORY.starter(step))
        made = starters.read(REPOSITORY, step)
        assert {name: made[name].decode() for name in made} == starter, step.name


def test_steps_are_even() -> None:
    """No step asks for more than 60 lines, or twice the median."""
    problems = evenness.check(evenness.table(REPOSITORY))
    assert not problems, listed(problems)


def test_lessons() -> None:
    """Every lesson has its sections, and what it names exists."""
    problems = texts.check(REPOSITORY)
    assert not problems, listed(problems)


def test_minutes_are_the_same_everywhere() -> None:
    """The lesson and the README say what step.toml says."""
    readme = (ROOT / "README.md").read_text("utf-8")
    for step in REPOSITORY.steps():
        lesson = REPOSITORY.starter(step) / "README.md"
        assert f"\nTime: {step.minutes} minutes." in lesson.read_text("utf-8")
        row = f"steps/{step.name}/README.md) | {step.title} | {step.minutes} |"
        assert row in readme


def test_what_is_retired_exists() -> None:
    """A step retires tests or TODOs of the steps before it, and nothing else."""
    known: set[str] = set()
    for step in REPOSITORY.steps():
        for retired in step.retires:
            assert retired.tests <= known, step.name
        known |= {todo.id for todo in step.todos}
        for file in REPOSITORY.suite(step).glob("test_*.py"):
            known |= set(re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.M))


def test_each_step_has_a_suite_and_a_solution() -> None:
    """One name, the same in steps/, solutions/ and tests/; and no others."""
    names = {step.name for step in REPOSITORY.steps() if step.todos}
    for folder in ("solutions", "tests"):
        found = {path.name for path in (ROOT / folder).glob("[0-9][0-9]_*")}
        assert found == names, folder


def test_every_requirement_is_pinned() -> None:
    """Both files have one version of each package, and the same one."""
    needed, everything = (
        requirement_lines(ROOT / f"{name}.txt")
        for name in ("requirements", "requirements-all")
    )
    assert set(needed) < set(everything)
    for line in everything:
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; .+)?", line), line
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(project["dependencies"]) <= set(needed)
    assert set(project["optional-dependencies"]["all"]) <= set(everything)
