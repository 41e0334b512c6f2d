"""The command line: what each command takes, and which module carries it out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from workshop import bootstrap, results
from workshop.errors import WorkshopError
from workshop.output import console, say
from workshop.steps import Repository

PROGRAM = "python3 -m workshop"
REPOSITORY = Repository(bootstrap.ROOT)
PORT = 8000
"""Where an app listens unless --port says otherwise."""

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    help="Build SAJE step by step. Without a command: where you are, and what is next.",
    epilog="--wheelhouse DIR, with any command: install from a folder of wheels, "
    "offline.",
)


def step_number(text: str) -> int:
    """Read a step's number; raises BadParameter, with an example, when it is none."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no step's number, such as 1") from None


StepNumber = Annotated[
    int,
    typer.Argument(metavar="N", help="The step's number.", parser=step_number),
]
OfSolution = Annotated[
    bool, typer.Option("--solution", help="The step's solution, not your app.")
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="The port to use.")]


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line.

    Returns: the exit status. Raises: WorkshopError for what the user can put right.
    """
    if not arguments:
        show_progress()
        return 0
    try:
        status = app(list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        raise WorkshopError(
            f"{error.format_message()}\nTo see what there is: {PROGRAM} --help"
        ) from None
    if status == bootstrap.INTERRUPTED:
        print("Stopped.", file=sys.stderr)
    return int(status or 0)


@app.command()
def demo(port: Port = PORT) -> int:
    """Run the finished system, and show what to try."""
    from workshop import serving

    require_packages()
    return serving.demo(REPOSITORY, port, console())


@app.command()
def run(step: StepNumber, solution: OfSolution = False, port: Port = PORT) -> int:
    """Run a step's app: 2 servers, reloaded when you save."""
    from workshop import serving

    require_packages()
    chosen = REPOSITORY.step(step)
    folder = REPOSITORY.solution(chosen) if solution else REPOSITORY.starter(chosen)
    return serving.run(REPOSITORY, chosen, folder, port)


@app.command()
def check(
    step: StepNumber,
    solution: OfSolution = False,
    everything: Annotated[
        bool, typer.Option("--all", help="What every failure says, not the first.")
    ] = False,
) -> int:
    """Test a step's app: its own suite, then the earlier ones."""
    from workshop import checking

    require_packages()
    chosen = REPOSITORY.step(step)
    return checking.check(REPOSITORY, chosen, console(), solution, everything)


@app.command()
def hint(
    todo: Annotated[str, typer.Argument(metavar="N.k", help="The TODO's id.")],
) -> None:
    """Show a hint for a TODO; each call shows one more."""
    chosen = REPOSITORY.todo(todo)
    level = results.next_hint_level(REPOSITORY, chosen.id, len(chosen.hints))
    out = console()
    say(out, f"TODO {chosen.id}: {chosen.title} ({chosen.file})")
    for number, text in enumerate(chosen.hints[:level], start=1):
        say(out, f"\nHint {number} of {len(chosen.hints)}\n{text.strip()}")


@app.command()
def verify() -> int:
    """Run every test there is, on all solutions and starters."""
    from workshop import verify as everything

    require_packages()
    return everything.verify(REPOSITORY, console())


@app.command(context_settings={"allow_interspersed_args": False})
def bench(
    benchmark: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Without it: a list of them.")
    ] = None,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="OPTION", help="Of the benchmark.")
    ] = None,
) -> int:
    """Measure the finished system."""
    from workshop import benching

    require_packages()
    if benchmark is None:
        benching.show(REPOSITORY, console())
        return 0
    return benching.run(REPOSITORY, benchmark, arguments or [])


def show_progress() -> None:
    """Print each step with its state, and the one command to type next."""
    table = Table("step", "title", "minutes", "state", box=None)
    upcoming = "python3 -m workshop demo"
    lesson = None
    for step in REPOSITORY.steps():
        standing = results.standing(REPOSITORY, step)
        style = {"green": "green", "read": "green"}.get(standing.text.split(",")[0])
        if standing.text.startswith("red"):
            style = "red"
        table.add_row(
            f"{step.number:02}",
            step.title,
            str(step.minutes),
            standing.text,
            style=style,
        )
        if not standing.done and lesson is None:
            lesson = f"steps/{step.name}/README.md"
            command = "check" if step.todos else "run"
            upcoming = f"python3 -m workshop {command} {step.number}"
    out = console()
    out.print(table)
    say(out, f"\nThe lesson: {lesson}" if lesson else "\nEvery step is done.")
    say(out, f"Type next:  {upcoming}")


def require_packages() -> None:
    """Make sure that the packages are there; raises WorkshopError when one is not."""
    missing = bootstrap.missing_packages()
    if missing:
        bootstrap.STAMP.unlink(missing_ok=True)
        raise WorkshopError(
            f"The installed packages are not as they must be: {missing[0]}.\n"
            "Type the command again: that installs the packages anew."
        )
