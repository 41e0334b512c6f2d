"""The checks of the texts: good ones pass, and each fault is found."""

from __future__ import annotations

import pytest

from tests.proofs import texts
from tests.workshop.conftest import write
from workshop.core.steps import Repository

LESSON = """# Step 01: The first

## By the end you will
## The idea

Look at `app/answer.py:10`, `tests/01_first/` and `GET /v1/info`.

## Predict
## Build

### TODO 1.1: Give the answer

Edit `app/answer.py`.

### TODO 1.2: Ask the [question]

Edit `app/answer.py` as well, and type `python3 -m workshop hint N.k`.

## Check

```
python3 -m workshop check 1 && python3 -m workshop
python3 -m workshop --wheelhouse DIR run 1 --solution --port 8001 &
```

## Since the article
## Break it on purpose

Undo TODO 1.1.

## Questions
## Next
"""
TITLES = {"00_start": "The start", "01_first": "The first", "02_second": "The second"}


@pytest.fixture
def written(small: Repository) -> Repository:
    """The small workshop with its texts."""
    for name, title in TITLES.items():
        sections = texts.SECTIONS if name != "00_start" else texts.SECTIONS_OF_00
        more = "### TODO 2.1: Give more\n\n`app/more.py`" if "02" in name else ""
        for file, head, wanted in (
            ("README", f"# Step {name[:2]}: {title}", sections),
            (
                "INSTRUCTOR",
                f"# Step {name[:2]} for the instructor: {title}",
                texts.SECTIONS_OF_INSTRUCTOR,
            ),
        ):
            parts = [head, *(f"## {section}" for section in wanted)]
            parts += [more] * (file == "README")
            write(small.root / "steps" / name / f"{file}.md", "\n\n".join(parts))
    write(small.root / "steps/01_first/README.md", LESSON)
    for name in texts.OTHER_TEXTS:
        write(small.root / name, "# A text\n\n`python3 -m workshop demo`\n")
    return small


def test_good_texts(written: Repository) -> None:
    """Texts without a fault pass."""
    assert texts.check(written) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("# Step 01", "# Step 1", "its only first-level heading must be"),
        ("## The idea", "## Ideas", "its sections are"),
        ("1.1: Give the", "1.1: Give an", "doesn't have '### TODO 1.1: Give the"),
        ("1.1: Give the", "1.1: Give an", "but step.toml has no such TODO"),
        ("Edit `app/answer.py`.", "Edit it.", "doesn't name its file, app/answer.py"),
        ("Undo TODO 1.1.", "Undo TODO 7.1.", "TODO 7.1 doesn't exist"),
        ("workshop check 1", "workshop check 9", "There is no step 9"),
        ("workshop check 1", "workshop chek 1", "the command chek doesn't exist"),
        ("workshop check 1", "workshop check 1 --fast", "No such option: --fast"),
        ("workshop check 1", "workshop hint 1.9", "There is no TODO 1.9"),
        ("`app/answer.py:10`", "`app/no.py`", "app/no.py doesn't exist"),
        ("`tests/01_first/`", "`tests/01_last/`", "tests/01_last/ doesn't exist"),
    ],
)
def test_faults(written: Repository, old: str, new: str, fault: str) -> None:
    """Each kind of fault is found, in the text that has it, and only there."""
    assert old in LESSON
    write(written.root / "steps/01_first/README.md", LESSON.replace(old, new))
    problems = texts.check(written)
    assert any(fault in problem for problem in problems), problems
    assert all(problem.startswith("steps/01_first/README.md:") for problem in problems)


@pytest.mark.parametrize("name", ["GLOSSARY.md", "steps/00_start/INSTRUCTOR.md"])
def test_missing_texts(written: Repository, name: str) -> None:
    """A missing text is reported."""
    (written.root / name).unlink()
    assert texts.check(written) == [f"{name} is missing."]
