"""The command line: what each command takes, and which module does the work."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from workshop.core import apps, environment, processes, results
from workshop.core.errors import WorkshopError
from workshop.core.output import console, say
from workshop.core.steps import Repository
from workshop.instructor.schedule import Row, own_break, time_of_day
from workshop.learner.serving import HOST, PORT

if TYPE_CHECKING:
    from workshop.learner.saved import Copy

PROGRAM = "python3 -m workshop"
REPOSITORY = Repository(environment.ROOT)

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    help="Build SAJE step by step. Without a command: where you are, and what is next.",
    epilog="--wheelhouse DIR, with any command: install from a folder of wheels, "
    "offline.",
)


StepNumber = Annotated[int, typer.Argument(metavar="N", help="The step's number.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")]
Host = Annotated[
    str,
    typer.Option(help="The address to listen on; 0.0.0.0 in a container."),
]


def main(arguments: Sequence[str]) -> int:
    """Run a command line.

    Args:
        arguments: The command line without the program's name.

    Returns:
        The exit status.

    Raises:
        WorkshopError: Something that the user can put right.
    """
    if missing := environment.missing_packages(environment.REQUIREMENTS):
        raise environment.damaged(missing[0])
    if arguments and arguments[0] == "help":
        arguments = [*arguments[1:2], "--help"]
    try:
        if not arguments:
            show_progress()
            return 0
        status = app(list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        raise WorkshopError(
            advice(error.format_message(), arguments)
            or f"{error.format_message()}\nTo see what there is: {PROGRAM} --help"
        ) from None
    if status == environment.INTERRUPTED:
        print("Stopped.", file=sys.stderr)
    return int(status or 0)


def advice(message: str, words: Sequence[str]) -> str:
    """Return what to type in place of a wrong command line; "" if that isn't known."""
    todo = next((word for word in words if re.fullmatch(r"\d+\.\d+", word)), "")
    if message == "Missing argument 'N'.":
        return f"Which step? For example: {PROGRAM} {words[0]} 3"
    if message == "Missing argument 'NAME...'.":
        return f"What is your name? For example: {PROGRAM} {words[0]} Ada Lovelace"
    if words[0] == "check" and todo and "'N'" in message:
        number = todo.partition(".")[0]
        return (
            f"{todo} is a TODO. To check only that one: "
            f"{PROGRAM} check {number} --todo {todo}"
        )
    if "'--port'" in message and message.startswith("Invalid value"):
        return "A port is a number from 1 to 65535. For example: --port 8001"
    return ""


@app.command()
def demo(port: Port = PORT, host: Host = HOST) -> int:
    """Run the finished system, and show what to try."""
    from workshop.learner import serving

    return serving.demo(REPOSITORY, port, host)


@app.command()
def run(
    step: StepNumber,
    solution: Annotated[
        bool, typer.Option("--solution", help="The step's solution, not your app.")
    ] = False,
    port: Port = PORT,
    host: Host = HOST,
) -> int:
    """Run a step's app: 2 servers, reloaded when you save."""
    from workshop.learner import serving

    chosen = REPOSITORY.step(step)
    folder = REPOSITORY.solution(chosen) if solution else REPOSITORY.starter(chosen)
    if not solution:
        apps.require_files(REPOSITORY, chosen)
        results.visit(REPOSITORY, chosen)
    return serving.run(REPOSITORY, chosen, folder, port, host)


@app.command()
def check(
    step: StepNumber,
    todo: Annotated[
        str | None,
        typer.Option("--todo", metavar="N.k", help="Only this TODO, such as 5.3."),
    ] = None,
) -> int:
    """Test a step's app: its own suite, and the earlier ones."""
    from workshop.learner import checking

    chosen = REPOSITORY.edited(step)
    results.visit(REPOSITORY, chosen)
    return checking.check(REPOSITORY, chosen, todo)


@app.command()
def watch(step: StepNumber) -> None:
    """Test a step's app again at each save, until Ctrl+C."""
    from workshop.learner import watching

    watching.watch(REPOSITORY, REPOSITORY.edited(step))


@app.command()
def hint(
    todo: Annotated[
        str | None,
        typer.Argument(metavar="N.k", help="The TODO's id; else the first red one."),
    ] = None,
) -> None:
    """Show a hint for a TODO; each call shows one more."""
    from workshop.learner import hints

    hints.show(REPOSITORY, REPOSITORY.todo(todo or red_todo()))


@app.command()
def diff(
    step: StepNumber,
    others: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[M] [FILE]", help="Another step, or one file, or both."
        ),
    ] = None,
    spoil: Annotated[
        bool, typer.Option("--spoil", help="Even before the step is green.")
    ] = False,
) -> None:
    """Compare your app with its solution, or two solutions."""
    from workshop.learner import difference

    words = others or []
    other = words.pop(0) if words and words[0].isdecimal() else None
    if len(words) > 1:
        raise WorkshopError(f"Name one file, or none: not {' and '.join(words)}.")
    file = words[0] if words else None
    if other is None:
        difference.mine(REPOSITORY, REPOSITORY.edited(step), file, spoil)
    else:
        steps = REPOSITORY.step(step), REPOSITORY.step(int(other))
        difference.between(REPOSITORY, *steps, file, spoil)


@app.command()
def reset(step: StepNumber) -> None:
    """Go to the start of a step. Your files are kept."""
    from workshop.learner import saved

    chosen = REPOSITORY.edited(step)
    copy = saved.reset(REPOSITORY, chosen)
    results.visit(REPOSITORY, chosen)
    say_replaced(copy, f"Step {chosen.number:02} is as it was at the start")
    say(console(), f"Read steps/{chosen.name}/README.md")


@app.command()
def solve(step: StepNumber) -> None:
    """Make a step the same as its solution. Your files are kept."""
    from workshop.learner import saved

    chosen = REPOSITORY.edited(step)
    copy = saved.solve(REPOSITORY, chosen)
    results.visit(REPOSITORY, chosen)
    say_replaced(copy, f"Step {chosen.number:02} is the same as its solution")
    say(console(), f"Type next: {PROGRAM} check {chosen.number}")


@app.command()
def restore(
    name: Annotated[
        str | None,
        typer.Argument(metavar="COPY", help="Its name; else your latest code."),
    ] = None,
) -> None:
    """Bring back the files that a command has replaced."""
    from workshop.learner import saved

    copy, replaced = saved.restore(REPOSITORY, name)
    say_replaced(replaced, f"steps/{copy.step} is as it was in the copy {copy.name}")
    say(console(), f"Type next: {PROGRAM} check {int(copy.step[:2])}")


@app.command()
def verify(
    step: Annotated[
        int | None,
        typer.Argument(metavar="N", help="Only this step."),
    ] = None,
) -> int:
    """Run every test there is, or those of one step."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-n", "auto", "tests/proofs"]
    if step is None:
        command.append("tests/workshop")
    else:
        mine = f"[{REPOSITORY.step(step).number:02}"
        command += ["-k", f"{mine} or test_repository or test_prose"]
    return processes.replace(command, cwd=REPOSITORY.root)


@app.command()
def site(
    show: Annotated[
        bool, typer.Option("--open", help="Open it in your browser.")
    ] = False,
) -> None:
    """Build the lessons as an offline site, and print its address."""
    import webbrowser

    from workshop.site import building

    address = building.build(REPOSITORY).as_uri()
    say(console(), f"You can read the lessons offline at\n{address}")
    if show and not webbrowser.open(address):
        say(console(), "No browser was found, so open the address in one yourself.")


@app.command()
def doctor(
    report: Annotated[
        bool, typer.Option("--report", help="Add a block for the instructor.")
    ] = False,
) -> int:
    """Try everything that the workshop needs on this machine."""
    from workshop.learner import doctor as examination

    return examination.doctor(REPOSITORY, report)


@app.command()
def handin(
    name: Annotated[list[str], typer.Argument(metavar="NAME...", help="Your name.")],
) -> None:
    """Pack your steps into a zip file for your instructor."""
    from workshop.instructor import handing_in

    file = handing_in.pack(REPOSITORY, " ".join(name))
    size = max(1, file.stat().st_size // 1000)
    say(console(), f"Your steps are packed ({size} kB). Hand in this file:\n{file}")


@app.command()
def schedule(
    start: Annotated[
        int,
        typer.Option(metavar="HH:MM", help="When you begin.", parser=time_of_day),
    ] = "09:00",  # type: ignore[assignment]  # It is parsed, too.
    breaks: Annotated[
        list[Row] | None,
        typer.Option(
            "--break",
            metavar="HH:MM+MIN",
            help="A break of your own, instead of ours; again for more.",
            parser=own_break,
        ),
    ] = None,
    first: Annotated[
        int,
        typer.Option("--first", metavar="N", help="The step to begin with.", min=0),
    ] = 0,
    last: Annotated[
        int, typer.Option("--last", metavar="N", help="The step to end with.", min=0)
    ] = 99,
) -> None:
    """For the instructor: print when each step begins, with breaks."""
    from workshop.instructor import schedule as sheet

    steps = [step for step in REPOSITORY.steps() if first <= step.number <= last]
    if not steps:
        raise WorkshopError(f"There are no steps from {first} to {last}.")
    sheet.show(steps, start, breaks or [], console())


@app.command()
def grade(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="The copies: folders or zip files."),
    ],
    numbers: Annotated[
        list[int] | None,
        typer.Option(
            "--step",
            metavar="N",
            help="Only this step; again for more.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Copies at a time.")] = 2,
    seconds: Annotated[
        float,
        typer.Option(
            "--time",
            min=1,
            help="Seconds for each step of a copy; more if the machine is slow.",
        ),
    ] = 180,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page as well.")
    ] = None,
) -> int:
    """For the instructor: test many copies. Their code runs with your rights."""
    from workshop.instructor import grade_report, grading

    steps = [REPOSITORY.edited(number) for number in sorted(set(numbers or []))]
    steps = steps or [step for step in REPOSITORY.steps() if step.todos]
    copies = grading.copies_of(paths, steps)
    if html:
        grade_report.check_page(html)

    def write() -> None:
        if html:
            grade_report.write_page(html, copies, steps)

    def write_if_possible() -> None:
        with suppress(WorkshopError):  # The last time counts.
            write()

    say(console(), grade_report.WARNING)
    grader = grading.Grader(REPOSITORY, steps, seconds)
    status = grader.grade(copies, jobs, console(), after_each=write_if_possible)
    grade_report.show(copies, steps, console())
    write()
    return status


def show_progress() -> None:
    """Print each step with its state, and the one command to type next."""
    table = Table("step", "title", "minutes", "state", box=None)
    open_steps = []
    for step in REPOSITORY.steps():
        standing = results.standing(REPOSITORY, step)
        red = "red" if standing.text.startswith("red") else None
        table.add_row(
            f"{step.number:02}",
            step.title,
            str(step.minutes),
            standing.text,
            style="green" if standing.done else red,
        )
        if not standing.done:
            open_steps.append((step, standing))
    out = console()
    out.print(table)
    if not open_steps:
        say(out, f"\nEvery step is done.\nType next:  {PROGRAM} demo")
        return
    # Where the learner is, or else further on; steps that were left out come last.
    here = results.here(REPOSITORY)
    step, standing = min(open_steps, key=lambda pair: pair[0].number < here)
    command = "run" if standing.text == "not started" else "check"
    say(out, f"\nThe lesson: steps/{step.name}/README.md")
    say(out, f"Type next:  {PROGRAM} {command} {step.number}")


def red_todo() -> str:
    """Return the first red TODO of the learner's step.

    Raises:
        WorkshopError: There is none.
    """
    # Step 00 has nothing to edit, so the first hint belongs to step 01.
    step = REPOSITORY.edited(max(1, results.here(REPOSITORY)))
    todo = results.red_todo(REPOSITORY, step)
    if todo is None:
        raise WorkshopError(
            f"Every TODO of step {step.number:02} is green. For a hint anyway: "
            f"{PROGRAM} hint {step.todos[0].id}"
        )
    return todo


def say_replaced(copy: Copy | None, what: str) -> None:
    """Print what a step is now, and where its replaced files are."""
    out = console()
    if copy is None:
        say(out, f"{what}. Nothing had to be replaced.")
        return
    where = copy.folder.relative_to(REPOSITORY.root).as_posix()
    say(out, f"{what}. The files that were there are in\n{where}")
    say(out, f"To bring them back: {PROGRAM} restore {copy.name}")
