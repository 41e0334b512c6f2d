"""How the runner prints."""

from __future__ import annotations

from rich.console import Console


def console() -> Console:
    """Return a console on standard output that adds no colours of its own."""
    return Console(highlight=False)


def say(console: Console, text: str) -> None:
    """Print a text as it is, without breaking its lines or reading its brackets."""
    console.print(text, markup=False, soft_wrap=True)
