"""The lesson checks: a good lesson passes, and each fault is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workshop.conftest import write
from workshop import lessons
from workshop.steps import Repository

WORDS = "It is a sentence of seven words. " * 60

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

FIRST = f"""# Step 01: The first

{DIAGRAM}
## By the end you will

- answer

## The idea

{WORDS}

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
    write(small.root / "steps/00_start/README.md", START)
    write(small.root / "steps/01_first/README.md", FIRST)
    write(small.root / "steps/02_second/README.md", SECOND)
    for name, title in TITLES.items():
        text = INSTRUCTOR.replace("TITLE", f"{name[:2]} for the instructor: {title}")
        write(small.root / "steps" / name / "INSTRUCTOR.md", text)
    return small


def test_good_lessons(written: Repository) -> None:
    """Lessons that are as they must be have no fault."""
    assert lessons.check(written) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "# Step 01: The first",
            "# Step 1: The first",
            "its one first heading must be",
        ),
        ("## The idea", "## Ideas", "its sections are"),
        ("## Predict", "## Check\n\n## Predict", "its sections are"),
        (DIAGRAM, "", "it has 0 mermaid blocks"),
        (DIAGRAM, DIAGRAM * 2, "it has 2 mermaid blocks"),
        ("## Predict\n", f"## Predict\n\n{DIAGRAM}", "it has 2 mermaid blocks"),
        (WORDS, WORDS[: len(WORDS) // 2], "words (code blocks and tables apart)"),
        (WORDS, WORDS * 3, "words (code blocks and tables apart)"),
        (
            "TODO 1.1: Give the",
            "TODO 1.1: Give an",
            "no '### TODO 1.1: Give the answer'",
        ),
        ("TODO 1.1: Give the", "TODO 1.1: Give an", "which step.toml does not have so"),
        ("Edit `app/answer.py`.", "Edit it.", "does not name its file, app/answer.py"),
        ("Undo TODO 1.1.", "Undo TODO 7.1.", "there is no TODO 7.1"),
        ("../02_second/README.md", "../03_third/README.md", "leads to no file"),
        ("../02_second/README.md", "../../../x.md", "leads to no file of the workshop"),
        ("(#the-idea)", "(#the-ideas)", "leads to no heading"),
        ("../02_second/README.md", "../02_second/README.md#no", "leads to no heading"),
        ("workshop check 1", "workshop check 9", "There is no step 9"),
        ("workshop check 1", "workshop chek 1", "there is no command chek"),
        ("workshop check 1", "workshop check", "Missing argument 'N'"),
        ("workshop check 1", "workshop check 1 --fast", "No such option: --fast"),
        ("workshop check 1", "workshop hint 1.9", "There is no TODO 1.9"),
        ("workshop check 1", "workshop bench no", "There is no benchmark no"),
        ("workshop check 1", "workshop --wheelhouse /no", "no folder"),
        ("workshop check 1", "workshop 'check 1", "No closing quotation"),
        ("`server.py`", "`app/no.py`", "there is no app/no.py"),
        ("`server.py`", "`saje/`", "there is no saje/"),
        ("`tests/01_first`", "`tests/01_last`", "there is no tests/01_last"),
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
    problems = lessons.check(written)
    assert any(fault in problem for problem in problems), problems
    assert all(problem.startswith("steps/01_first/README.md:") for problem in problems)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "steps/01_first/README.md#build",
            "steps/01_first/README.md#bild",
            "no heading",
        ),
        ("workshop demo", "workshop demos", "there is no command demos"),
        ("step N;", "`app/no.py`", "there is no app/no.py"),
        ("step N;", "TODO 7.1", "there is no TODO 7.1"),
    ],
)
def test_faults_of_the_readme(
    written: Repository, old: str, new: str, fault: str
) -> None:
    """The README at the top is checked too."""
    assert old in TOP
    write(written.root / "README.md", TOP.replace(old, new))
    problems = lessons.check(written)
    assert len(problems) == 1
    assert problems[0].startswith("README.md:")
    assert fault in problems[0]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("for the instructor", "for you", "its one first heading must be"),
        ("## Time", "## Minutes", "its sections are"),
        ("#predict", "#guess", "no heading"),
        ("workshop run 1", "workshop runs 1", "there is no command runs"),
        ("server.py", "app/no.py", "there is no app/no.py"),
        ("TODO 1.2", "TODO 1.3", "there is no TODO 1.3"),
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
    problems = lessons.check(written)
    assert len(problems) == 1
    assert problems[0].startswith("steps/01_first/INSTRUCTOR.md:")
    assert fault in problems[0]


def test_diagram_comes_early(written: Repository) -> None:
    """The picture is there before the reader predicts."""
    late = FIRST.replace(DIAGRAM, "").replace("## Build\n", f"## Build\n\n{DIAGRAM}")
    write(written.root / "steps/01_first/README.md", late)
    (problem,) = lessons.check(written)
    assert "the diagram must come before the section Predict" in problem


def test_provided_files_are_named(written: Repository) -> None:
    """A file that comes with a step is named in its lesson."""
    toml = written.root / "steps/01_first/step.toml"
    write(toml, toml.read_text().replace('answer.py"]', 'answer.py", "app/new.py"]'))
    (problem,) = lessons.check(written)
    assert "it does not name app/new.py, which the step provides" in problem


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "steps/01_first/README.md",
        "steps/00_start/INSTRUCTOR.md",
        "workshop/GRADING.md",
    ],
)
def test_missing_texts(written: Repository, name: str) -> None:
    """A missing text is told."""
    (written.root / name).unlink()
    assert f"{name} is missing." in lessons.check(written)


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    """Lower case, no punctuation, "-" for spaces, numbered when they repeat."""
    path = tmp_path / "text.md"
    write(path, "# A `b_c`, d!\n\n## Same\n\n## Same\n")
    assert lessons.anchors(lessons.read(path)) == {"a-b_c-d", "same", "same-1"}
