"""The tests of the tests: wrong answers must be caught, and right ones must pass.

An answer is a small change of a step's solution: tests/NN_name/mistakes/<name>.toml.
If it is wrong, a test of its todo must fail with a message that contains its words,
because a learner should read what is wrong and not only that something is. If it says
``right = true``, it is a right answer in another style, and all tests of its todo must
pass.
"""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from workshop.core import apps
from workshop.core.errors import WorkshopError
from workshop.core.steps import Repository, Step


@dataclass(frozen=True)
class Edit:
    """A text of one file, and what is there in its place."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mistake:
    """A wrong answer to a todo."""

    step: Step
    name: str
    """Of its file, such as "no_drain"."""
    title: str
    """What was done wrong, in words."""
    todo: str
    """The id of the todo whose tests must catch it."""
    words: tuple[str, ...]
    """What the message must contain. A right answer has none."""
    right: bool
    """Whether the answer is right, only written in another style."""
    edits: tuple[Edit, ...]

    @property
    def id(self) -> str:
        """Its name with its step's, such as "02/no_drain"."""
        return f"{self.step.number:02}/{self.name}"

    def write(self, repository: Repository, folder: Path) -> None:
        """Write the app that has the mistake.

        Args:
            repository: The workshop.
            folder: Where the app goes. All that is there is removed.

        Raises:
            WorkshopError: The solution has changed, so an edit doesn't fit any more.
        """
        shutil.rmtree(folder, ignore_errors=True)
        for name, path in apps.app_files(repository.solution(self.step)).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        for edit in self.edits:
            target = folder / edit.file
            text = target.read_text(encoding="utf-8") if target.exists() else ""
            if (count := text.count(edit.old)) != 1:
                raise WorkshopError(
                    f"mistake {self.id}: {edit.file} of the solution has this text "
                    f"{count} times, and must have it once: {edit.old!r}"
                )
            target.write_text(text.replace(edit.old, edit.new), encoding="utf-8")


def read(repository: Repository) -> list[Mistake]:
    """Read every mistake, in the order of the steps.

    Raises: WorkshopError, naming the file, when one is not as it must be.
    """
    found = []
    for step in repository.steps():
        folder = repository.suite(step) / "mistakes"
        found += [read_mistake(step, path) for path in sorted(folder.glob("*.toml"))]
    return found


def read_mistake(step: Step, path: Path) -> Mistake:
    """Read and check one mistake; raises WorkshopError when it is not as it must be."""
    where = f"tests/{step.name}/mistakes/{path.name}"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        mistake = Mistake(
            step=step,
            name=path.stem,
            title=table["title"],
            todo=table["todo"],
            words=tuple(table.get("words", ())),
            right=table.get("right") is True,
            edits=tuple(
                Edit(edit["file"], edit["old"], edit.get("new", ""))
                for edit in table["edit"]
            ),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise WorkshopError(f"{where} isn't as it must be: {error!r}") from None
    if mistake.todo not in {todo.id for todo in step.todos}:
        raise WorkshopError(f"{where}: the step has no todo {mistake.todo}.")
    if mistake.right == bool(mistake.words):
        raise WorkshopError(f"{where}: it needs either words or `right = true`.")
    return mistake
