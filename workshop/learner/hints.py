"""``hint N.k``: the hints of a TODO, one more at each call."""

from __future__ import annotations

from workshop.core import results
from workshop.core.output import console, say
from workshop.core.steps import Repository, Todo


def show(repository: Repository, todo: Todo) -> None:
    """Print the hints of a TODO that were shown before, and one more."""
    out = console()
    level = results.next_hint_level(repository, todo.id, len(todo.hints))
    say(out, f"TODO {todo.id}: {todo.title} ({todo.file})")
    for number, text in enumerate(todo.hints[:level], start=1):
        say(out, f"\nHint {number} of {len(todo.hints)}\n{text.strip()}")
    if level == len(todo.hints):
        command = f"python3 -m workshop diff {todo.id.partition('.')[0]} --spoil"
        say(out, f"\nThat was the last hint. To see the solution: {command}")
    elif level > results.hint_level(repository, todo.id):
        say(out, "\nThe workshop can't remember that you have seen this hint.")
        say(out, "To find out why: python3 -m workshop doctor")
