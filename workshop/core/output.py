"""How the runner prints."""

from __future__ import annotations

from rich.console import Console


def console() -> Console:
    """Return what to print to: standard output, with no colours of rich's own."""
    return Console(highlight=False)


def say(console: Console, text: str) -> None:
    """Print a text as it is: its lines not broken, its brackets no markup."""
    console.print(text, markup=False, soft_wrap=True)
