"""The checks of the lessons: a good one passes, and each fault is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proofs import texts
from tests.workshop.conftest import write
from workshop.core.steps import Repository

DIAGRAM = """```mermaid
flowchart LR
    a --> b
```
"""

QUESTIONS = """## Questions

1. Why?
2. Who?

<details>
<summary>Answers</summary>

1. Because.
2. You.

</details>
"""

TOP = """# The workshop

Type `python3 -m workshop demo`, then read [the first](steps/01_first/README.md#build).
`python3 -m workshop check N` checks step N; `python3 -m workshop hint N.k` helps.

```
python3 -m workshop --wheelhouse DIR verify   # offline
python3 -m workshop run 1 --solution --port 8001 &
python3 -m workshop
```
"""

GLOSSARY = """# Glossary

A [queue](#queue) holds jobs.

## Jobs

### Job

One execution.

### Queue

A line.
"""

FIRST = f"""# Step 01: The first

{DIAGRAM}
## By the end you will

- answer

## The idea

It is all about one number, and a [job](../../GLOSSARY.md#job).

| a | b |
|---|---|
| 1 | 2 |

## Predict

What comes? Look at `app/answer.py` and `server.py`.

## Build

### TODO 1.1: Give the answer

Edit `app/answer.py`. [Back to the idea](#the-idea).

### TODO 1.2: Ask the [question]

Edit `app/answer.py:10` too.

## Check

```
$ python3 -m workshop check 1
```

## Since the article

`GET /v1/info` answers `application/json`. `jobs.jsonl` and `steps/NN_name/` are no
paths here; `tests/01_first` and `tests/01_first/` are.

## Break it on purpose

Undo TODO 1.1.

{QUESTIONS}
## Next

[The second](../02_second/README.md)
"""

SECOND = (
    FIRST.replace("01: The first", "02: The second")
    .replace("### TODO 1.2: Ask the [question]\n\nEdit `app/answer.py:10` too.\n\n", "")
    .replace(
        "TODO 1.1: Give the answer\n\nEdit `app/answer",
        "TODO 2.1: Give more\n\nEdit `app/more",
    )
)

START = (
    FIRST.replace("01: The first", "00: The start")
    .replace("## Build", "## Measure")
    .replace("### TODO 1.1: Give the answer", "Nothing to edit.")
    .replace("### TODO 1.2: Ask the [question]", "Still nothing.")
    .replace("## Check\n\n```\n$ python3 -m workshop check 1\n```\n\n", "")
    .replace("`app/answer.py`", "it")
    .replace("`app/answer.py:10`", "it")
)


TITLES = {"00_start": "The start", "01_first": "The first", "02_second": "The second"}

INSTRUCTOR = """# Step TITLE

## Show

[The lesson](README.md#predict), with `python3 -m workshop run 1`.

## Where people get stuck

In `server.py`, at TODO 1.2.

## Ask the room

Why?

## Time

Ten minutes.
"""


@pytest.fixture
def written(small: Repository) -> Repository:
    """The small workshop with its lessons."""
    write(small.root / "README.md", TOP)
    write(small.root / "GLOSSARY.md", GLOSSARY)
    write(small.root / "steps/00_start/README.md", START)
    write(small.root / "steps/01_first/README.md", FIRST)
    write(small.root / "steps/02_second/README.md", SECOND)
    for name, title in TITLES.items():
        text = INSTRUCTOR.replace("TITLE", f"{name[:2]} for the instructor: {title}")
        write(small.root / "steps" / name / "INSTRUCTOR.md", text)
    return small


def test_good_lessons(written: Repository) -> None:
    """Lessons without a fault pass."""
    assert texts.check(written) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "# Step 01: The first",
            "# Step 1: The first",
            "its only first-level heading must be",
        ),
        ("## The idea", "## Ideas", "its sections are"),
        ("## Predict", "## Check\n\n## Predict", "its sections are"),
        (DIAGRAM, "", "it doesn't have a mermaid block"),
        (
            "TODO 1.1: Give the",
            "TODO 1.1: Give an",
            "doesn't have '### TODO 1.1: Give the answer'",
        ),
        ("TODO 1.1: Give the", "TODO 1.1: Give an", "but step.toml has no such TODO"),
        ("Edit `app/answer.py`.", "Edit it.", "does not name its file, app/answer.py"),
        ("Undo TODO 1.1.", "Undo TODO 7.1.", "TODO 7.1 doesn't exist"),
        ("../02_second/README.md", "../03_third/README.md", "doesn't lead to a file"),
        ("../02_second/README.md", "../../../x.md", "doesn't lead to a file here"),
        ("(#the-idea)", "(#the-ideas)", "doesn't lead to a heading"),
        (
            "../02_second/README.md",
            "../02_second/README.md#no",
            "doesn't lead to a heading",
        ),
        ("workshop check 1", "workshop check 9", "There is no step 9"),
        ("workshop check 1", "workshop chek 1", "the command chek doesn't exist"),
        ("workshop check 1", "workshop check", "Missing argument 'N'"),
        ("workshop check 1", "workshop check 1 --fast", "No such option: --fast"),
        ("workshop check 1", "workshop hint 1.9", "There is no TODO 1.9"),
        ("workshop check 1", "workshop --wheelhouse /no", "no folder"),
        ("workshop check 1", "workshop 'check 1", "No closing quotation"),
        ("`server.py`", "`app/no.py`", "app/no.py doesn't exist"),
        ("`server.py`", "`saje/`", "saje/ doesn't exist"),
        ("`tests/01_first`", "`tests/01_last`", "tests/01_last doesn't exist"),
        ("<details>", "<p>", "must be folded"),
        ("</details>", "", "must be folded"),
        ("2. Who?\n", "", "there are 1 questions and 2 answers"),
        ("2. You.\n", "", "there are 2 questions and 1 answers"),
        ("2. Who?", "2. Who?\n3. When?\n4. Where?", "there are 4 questions"),
    ],
)
def test_faults_of_a_lesson(
    written: Repository, old: str, new: str, fault: str
) -> None:
    """Each kind of fault is found, in the lesson that has it, and only there."""
    assert old in FIRST
    write(written.root / "steps/01_first/README.md", FIRST.replace(old, new))
    problems = texts.check(written)
    assert any(fault in problem for problem in problems), problems
    assert all(problem.startswith("steps/01_first/README.md:") for problem in problems)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "steps/01_first/README.md#build",
            "steps/01_first/README.md#bild",
            "a heading",
        ),
        ("workshop demo", "workshop demos", "the command demos doesn't exist"),
        ("step N;", "`app/no.py`", "app/no.py doesn't exist"),
        ("step N;", "TODO 7.1", "TODO 7.1 doesn't exist"),
    ],
)
def test_faults_of_the_readme(
    written: Repository, old: str, new: str, fault: str
) -> None:
    """The README at the top is checked as well."""
    assert old in TOP
    write(written.root / "README.md", TOP.replace(old, new))
    problems = texts.check(written)
    assert len(problems) == 1
    assert problems[0].startswith("README.md:")
    assert fault in problems[0]


@pytest.mark.parametrize(
    ("old", "new", "where", "fault"),
    [
        ("[queue](#queue)", "[queue](#cue)", "GLOSSARY.md:3", "#cue doesn't lead to a"),
        ("### Queue", "### Line", "GLOSSARY.md:3", "#queue doesn't lead to a heading"),
        ("### Job", "### Work", "steps/0", "GLOSSARY.md#job doesn't lead"),
    ],
)
def test_faults_of_the_glossary(
    written: Repository, old: str, new: str, where: str, fault: str
) -> None:
    """Links in the glossary, and links of a lesson to it, must lead to an entry."""
    assert old in GLOSSARY
    write(written.root / "GLOSSARY.md", GLOSSARY.replace(old, new))
    problems = texts.check(written)
    assert problems
    assert all(p.startswith(where) and fault in p for p in problems), problems


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("for the instructor", "for you", "its only first-level heading must be"),
        ("## Time", "## Minutes", "its sections are"),
        ("#predict", "#guess", "a heading"),
        ("workshop run 1", "workshop runs 1", "the command runs doesn't exist"),
        ("server.py", "app/no.py", "app/no.py doesn't exist"),
        ("TODO 1.2", "TODO 1.3", "TODO 1.3 doesn't exist"),
    ],
)
def test_faults_of_what_the_instructor_reads(
    written: Repository, old: str, new: str, fault: str
) -> None:
    """INSTRUCTOR.md has its sections, and what it names exists."""
    file = written.root / "steps/01_first/INSTRUCTOR.md"
    text = file.read_text()
    assert old in text
    write(file, text.replace(old, new))
    problems = texts.check(written)
    assert len(problems) == 1
    assert problems[0].startswith("steps/01_first/INSTRUCTOR.md:")
    assert fault in problems[0]


def test_several_diagrams(written: Repository) -> None:
    """A lesson may have more diagrams than the first one, anywhere."""
    more = FIRST.replace("## Build\n", f"## Build\n\n{DIAGRAM}\n{DIAGRAM}")
    write(written.root / "steps/01_first/README.md", more)
    assert texts.check(written) == []


def test_diagram_comes_early(written: Repository) -> None:
    """The picture is there before the reader predicts."""
    late = FIRST.replace(DIAGRAM, "").replace("## Build\n", f"## Build\n\n{DIAGRAM}")
    write(written.root / "steps/01_first/README.md", late)
    (problem,) = texts.check(written)
    assert "the first diagram must come before the section Predict" in problem


def test_provided_files_are_named(written: Repository) -> None:
    """A file that comes with a step is named in its lesson."""
    toml = written.root / "steps/01_first/step.toml"
    write(toml, toml.read_text().replace('answer.py"]', 'answer.py", "app/new.py"]'))
    (problem,) = texts.check(written)
    assert "it does not name app/new.py, which the step provides" in problem


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "GLOSSARY.md",
        "steps/01_first/README.md",
        "steps/00_start/INSTRUCTOR.md",
        "workshop/GRADING.md",
    ],
)
def test_missing_texts(written: Repository, name: str) -> None:
    """A missing text is reported."""
    (written.root / name).unlink()
    assert f"{name} is missing." in texts.check(written)


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    """Lower case, no punctuation, "-" for spaces, numbered when they repeat."""
    path = tmp_path / "text.md"
    write(path, "# A `b_c`, d!\n\n## Same\n\n## Same\n")
    assert texts.anchors(texts.read(path)) == {"a-b_c-d", "same", "same-1"}
