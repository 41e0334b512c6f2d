"""``hint N.k``: the hints of a TODO, one more at each call."""

from __future__ import annotations

from rich.console import Console

from workshop.core import results
from workshop.core.output import say
from workshop.core.steps import Repository, Todo


def show(repository: Repository, todo: Todo, console: Console) -> None:
    """Print the hints of a todo that were shown already, and one more."""
    level = results.next_hint_level(repository, todo.id, len(todo.hints))
    say(console, f"TODO {todo.id}: {todo.title} ({todo.file})")
    for number, text in enumerate(todo.hints[:level], start=1):
        say(console, f"\nHint {number} of {len(todo.hints)}\n{text.strip()}")
    if level == len(todo.hints):
        command = f"python3 -m workshop diff {todo.id.partition('.')[0]} --spoil"
        say(console, f"\nThere are no more. The solution: {command}")
