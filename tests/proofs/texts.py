"""The texts: each has its sections, and everything that it names exists.

Whether their links lead anywhere is checked by the builder of the site.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import typer
from markdown_it import MarkdownIt

from workshop import cli
from workshop.core import environment
from workshop.core.errors import WorkshopError
from workshop.core.steps import TODO, Repository, Step
from workshop.site.building import PAGES

SECTIONS = (
    "By the end you will",
    "The idea",
    "Predict",
    "Build",
    "Check",
    "Since the article",
    "Break it on purpose",
    "Questions",
    "Next",
)
SECTIONS_OF_00 = tuple(
    {"Build": "Measure"}.get(name, name) for name in SECTIONS if name != "Check"
)
SECTIONS_OF_INSTRUCTOR = ("Show", "Where people get stuck", "Ask the room", "Time")
COMMAND = re.compile(r"python3? -m workshop\b[^\n&|;<>()]*")
"""A command of the runner, up to what ends its arguments on a command line."""
PATH = re.compile(
    r"[\w.-]+(/[\w.-]+)*/?\.(py|md|toml|txt|jsonl?|html|db|css|js|svg|png)"
    r"|([\w.-]+/)+|(steps|solutions|tests|workshop|benchmarks)/[\w./-]+"
)
MADE_BY_RUNNING = re.compile(r"\.jsonl$|\.db$|^\.venv|^\.workshop")
"""Files that exist only while something runs, or afterwards."""


class Block(NamedTuple):
    """A part of a Markdown file."""

    kind: str
    """How it begins: "##" for a heading, "```sh", "`" for inline code, or "<!--"."""
    content: str
    line: int


def parse(source: str) -> list[Block]:
    """Return the parts of a Markdown text that the proofs need, in order."""
    blocks = []
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    for index, token in enumerate(tokens):
        line = token.map[0] + 1 if token.map else 0
        if token.type in ("fence", "code_block"):
            blocks.append(Block(f"```{token.info.strip()}", token.content, line))
        elif token.type == "heading_open":
            title = tokens[index + 1].content.replace("`", "")
            blocks.append(Block(token.markup, title, line))
        for part in [token, *(token.children or [])]:
            if part.type == "code_inline":
                blocks.append(Block("`", part.content, line))
            elif part.type.startswith("html") and "<!--" in part.content:
                blocks.append(Block("<!--", part.content.strip(), line))
    return blocks


def check(repository: Repository) -> list[str]:
    """Check each text that is a page of the site.

    Returns:
        What is wrong, each with its file and line. It is empty if all is well.
    """
    steps = {step.name: step for step in repository.steps()}
    last = repository.steps()[-1]
    found = []
    for path in (path for page in PAGES for path in repository.root.glob(page)):
        name = path.relative_to(repository.root).as_posix()
        step = steps.get(path.parent.name, last)
        source = path.read_text(encoding="utf-8")
        found += [f"{name}{p}" for p in problems(repository, name, step, source)]
    return found


def problems(
    repository: Repository, name: str, step: Step, source: str
) -> Iterator[str]:
    """Yield what is wrong with a text, each with its line.

    Args:
        repository: The workshop.
        name: The path of the text, from the workshop's root.
        step: The step that the text is about.
        source: The text.
    """
    blocks = parse(source)
    yield from todo_ids(repository, source)
    yield from commands(repository, blocks)
    yield from paths(repository, blocks, step)
    number, title = f"Step {step.number:02}", step.title
    if name == f"steps/{step.name}/README.md":
        wanted = SECTIONS if step.number else SECTIONS_OF_00
        yield from headings(blocks, f"{number}: {title}", wanted)
        yield from todos(source, step)
    elif name == f"steps/{step.name}/INSTRUCTOR.md":
        title = f"{number} for the instructor: {title}"
        yield from headings(blocks, title, SECTIONS_OF_INSTRUCTOR)


def headings(blocks: list[Block], title: str, wanted: tuple[str, ...]) -> Iterator[str]:
    """Yield what is wrong with the title and the order of the sections."""
    titles = [block.content for block in blocks if block.kind == "#"]
    if titles != [title]:
        yield f": its only first-level heading must be '# {title}', not {titles}."
    found = tuple(block.content for block in blocks if block.kind == "##")
    if found != wanted:
        yield (
            f": its sections are {', '.join(found) or 'none'}, but they must be "
            f"{', '.join(wanted)}."
        )


def todos(source: str, step: Step) -> Iterator[str]:
    """Yield what is wrong with the parts of the TODOs, which name their files."""
    plain = source.replace("`", "")
    parts = dict(re.findall(r"^### (TODO .+)\n((?:(?!#).*\n)*)", plain, re.MULTILINE))
    wanted = {f"TODO {t.id}: {t.title}".replace("`", ""): t.file for t in step.todos}
    for title, file in wanted.items():
        if file not in parts.get(title, ""):
            yield f": it doesn't have '### {title}' with the file's name, {file}."
    for title in parts.keys() - wanted.keys():
        yield f": it has '### {title}', but step.toml has no such TODO."


def todo_ids(repository: Repository, source: str) -> Iterator[str]:
    """Yield TODO ids that no step has."""
    ids = {todo.id for step in repository.steps() for todo in step.todos}
    for number, line in enumerate(source.splitlines(), start=1):
        for todo_id in TODO.findall(line):
            if todo_id not in ids:
                yield f":{number}: TODO {todo_id} doesn't exist."


def commands(repository: Repository, blocks: list[Block]) -> Iterator[str]:
    """Yield command lines that the runner would not accept."""
    for block in blocks:
        if block.kind.startswith("`"):
            for command in COMMAND.findall(block.content):
                if problem := why_refused(repository, command):
                    yield f":{block.line}: `{command.strip()}`: {problem}"


def why_refused(repository: Repository, command: str) -> str | None:
    """Try a command line on the runner, without running it.

    Args:
        repository: The workshop.
        command: The command line. In it, N and N.k may stand for a step's number and a
            TODO's id, and DIR for a folder.

    Returns:
        Why the runner would refuse it, or None if it would not.
    """
    stand_ins = {"N": "1", "N.k": "1.1", "DIR": str(repository.root)}
    try:
        words = [stand_ins.get(word, word) for word in shlex.split(command)]
        _, arguments = environment.split_wheelhouse(words[3:])  # python3 -m workshop
        if not arguments:
            return None
        name, *rest = arguments
        known = typer.main.get_group(cli.app).commands
        if name not in known:
            return f"the command {name} doesn't exist."
        values = known[name].make_context(name, rest).params
        if values.get("step") is not None:
            repository.step(values["step"])
        if values.get("todo") is not None:
            repository.todo(values["todo"])
    except typer.Exit:
        return None  # It was a --help.
    except typer.TyperException as error:
        return error.format_message()
    except (WorkshopError, ValueError) as error:
        return str(error)
    return None


def paths(repository: Repository, blocks: list[Block], step: Step) -> Iterator[str]:
    """Yield inline code that looks like a path of the workshop but isn't one.

    A path may be meant from the root, from the step's folder or from its solution's.
    """
    bases = [repository.root, repository.starter(step), repository.solution(step)]
    for block in blocks:
        name = re.sub(r":\d+$", "", block.content)
        looks = block.kind == "`" and "/" in name and PATH.fullmatch(name)
        if not looks or MADE_BY_RUNNING.search(name) or "NN" in name:
            continue
        if not any((base / name).exists() for base in bases):
            yield f":{block.line}: {block.content} doesn't exist."
