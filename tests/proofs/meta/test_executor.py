"""Running lessons: one whose output is real passes, and each fault is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proofs import scene
from tests.proofs.comparing import is_all, is_in
from tests.proofs.executor import execute
from tests.proofs.scene import Parted
from tests.workshop.conftest import write
from workshop.core import processes
from workshop.core.steps import Repository

LESSON = """# Step 01: The first

```mermaid
flowchart LR
```

## Build

```sh
echo "one" \\
  "two [4711]"
```

```text
one two [1]
```

```sh
test PID = 4711
```

### TODO 1.1: Give the answer

```python
six = 6

return six * 7
```

```python
from app.answer import answer, question
print(answer(), [question()])
```

```text
42 ['']
```

### TODO 1.2: Ask the [question]

```diff
--- app/answer.py
+++ app/answer.py
 def question() -> str:
-    return "six times seven"
+    return "six times eight"
```

```sh
cat steps/01_first/app/answer.py
no_such_command_
```

```text
…
    return "six times eight"
…no_such_command_…
```

<!-- so: "eight" in output -->
<!-- do: take it back -->
"""
FILE = "steps/01_first/README.md"


def run_lesson(small: Repository, text: str, folder: Path) -> None:
    """Run a lesson of the small workshop's first step."""
    write(small.root / FILE, text)
    execute(small, small.step(1), folder / "lesson", patience=1.0)


def test_good_lesson(small: Repository, tmp_path: Path) -> None:
    """A good lesson passes and doesn't touch the learner's own app."""
    answer = small.root / "steps/01_first/app/answer.py"
    before = answer.read_bytes()
    run_lesson(small, LESSON, tmp_path)
    assert answer.read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("one two [1]", "one three", 14, "came:\none two [4711]"),
        ("one two [1]", "…", 14, "This block shows nothing"),
        ("PID = 4711", "PID = 0", 22, "status 1"),
        ("42 ['']", "43 ['']", 35, "came:\n42 ['']"),
        ("```mermaid\n", "```bash\n", 3, "execute a block of ```bash"),
        ("## Build\n", "## Build\n\n    echo 1\n", 9, "execute a block of ```"),
        ("<!-- so: ", "<!-- soon: ", 60, "Nobody knows how to do this: <!-- soon"),
        ("return six * 7", "return six * 8", 24, "as calls they fail:"),
        ("-    return", "-    reply", 41, "app/answer.py has these lines 0 times"),
        ("--- app/answer.py\n+++ app/answer.py\n", "", 41, "belongs to no file"),
        ("answer.py\n+++ app/answer.py", "no.py\n+++ app/no.py", 41, "no file app/no"),
        ('"eight" in', '"nine" in', 60, 'It is not so: "nine" in output'),
        ("take it back", "take it home", 61, "Nobody knows how to do this"),
        ("<!-- do: take it back -->", "", 60, "isn't as in the solution"),
        ("cat steps", "sleep 60 >&- 2>&- &\ncat steps", 62, "it runs: "),
        ("take it back", "press Ctrl+C", 61, "the app has ended before"),
    ],
)
def test_faults(
    small: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    line: int,
    words: str,
) -> None:
    """Each kind of fault is reported with the line of the lesson."""
    monkeypatch.setattr(scene, "KILLED", 0.2)
    assert LESSON.count(old) == 1
    with pytest.raises(Parted) as told:
        run_lesson(small, LESSON.replace(old, new), tmp_path)
    assert str(told.value).startswith(f"{FILE}:{line}\n")
    assert words in str(told.value)
    assert not processes.marked([processes.OURS])


@pytest.mark.parametrize(
    ("shown", "came", "same"),
    [
        ("a\nb", "a\nb\n", True),
        ("a", "a\nb", False),
        ("a\n…", "a\nb\nc", True),
        ("…\nc", "a\nb\nc", True),
        ("a…c", "ab\nc", False),
        ("a.c", "abc", False),
        ("5 ms", "  1234.5 ms", True),
        ("5 usec", "3.35e+03 usec", True),
        ("5 ms", "5 s", False),
        ('{"pid":1}', '{"pid":22}', True),
        ('{"depth":1}', '{"depth":2}', False),
        ("Worker [1]", "Srv 0 2026-11-24 15:18:34 +0000 INFO: Worker [99]", True),
        (
            '"uid":"f54e4ca4-9b5b-4a3e-9c7b-5d1a0c0f7d11"',
            '"uid":"00000000-0000-4000-8000-000000000000"',
            True,
        ),
        ('"2026-11-24T15:20:03.123456+00:00"', '"1999-11-24T15:20:03+00:00"', True),
        ("End it with: kill 1", "End it with: kill 22 33", True),
        # The pids of ps have started over in between.
        (
            "1 2 … -c from multiprocessing.a\n1 3 … -c from multiprocessing.b",
            "9 1 py -c from multiprocessing.b\n9 8 py -c from multiprocessing.a",
            True,
        ),
    ],
)
def test_comparing(shown: str, came: str, same: bool) -> None:
    """Only the parts that are different each time may differ."""
    assert is_all(shown, came) is same


def test_comparing_with_a_log() -> None:
    """Lines are found in a log in their order, with others between them."""
    assert is_in("b\nd", "a\nb\nc\nd\n")
    assert is_in("b\n…\nd", "a\nb\nd\n")
    assert not is_in("d\nb", "a\nb\nc\nd\n")
    assert not is_in("b\nb", "a\nb\nc\nd\n")
