"""The texts: each has its sections, and everything that it names exists.

Whether their links lead anywhere is checked by the builder of the site.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import typer
from markdown_it import MarkdownIt
from markdown_it.token import Token

from workshop import cli
from workshop.core import environment
from workshop.core.errors import WorkshopError
from workshop.core.steps import TODO, Repository, Step

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
OTHER_TEXTS = (
    *("README.md", "PROMISES.md", "CONTRIBUTING.md", "GLOSSARY.md"),
    "workshop/GRADING.md",
)
RUNNER = re.compile(r"python3? -m workshop\b[^\n]*")
PATH = re.compile(
    r"[\w.-]+(/[\w.-]+)*/?\.(py|md|toml|txt|jsonl?|html|db|css|js|svg|png)"
    r"|([\w.-]+/)+|(steps|solutions|tests|workshop|benchmarks)/[\w./-]+"
)
SHELL = frozenset("&|;<>()")
"""What ends a command's own arguments on a command line."""
MADE_BY_RUNNING = re.compile(r"\.jsonl$|\.db$|^\.venv|^\.workshop")
"""Files that exist only while something runs, or afterwards."""


@dataclass
class Text:
    """What the checks need to know of a Markdown file."""

    headings: list[tuple[int, str, int]] = field(default_factory=list)
    """Level, text and line of each, in order."""
    fences: list[tuple[str, str, int]] = field(default_factory=list)
    """Language, content and line of each code block."""
    codes: list[tuple[str, int]] = field(default_factory=list)
    """Content and line of each inline code."""
    lines: list[str] = field(default_factory=list)


def read(path: Path) -> Text:
    """Read a Markdown file, as GitHub understands it."""
    source = path.read_text(encoding="utf-8")
    text = Text(lines=source.splitlines())
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    for index, token in enumerate(tokens):
        line = token.map[0] + 1 if token.map else 0
        if token.type in ("fence", "code_block"):
            text.fences.append((token.info.strip(), token.content, line))
        elif token.type == "heading_open":
            title = plain(tokens[index + 1])
            text.headings.append((int(token.tag[1]), title, line))
        elif token.type == "inline":
            text.codes += [
                (child.content, line)
                for child in token.children or []
                if child.type == "code_inline"
            ]
    return text


def plain(inline: Token) -> str:
    """Return the text of an inline token without its marks."""
    return "".join(
        child.content if child.type in ("text", "code_inline") else " "
        for child in inline.children or []
        if child.type in ("text", "code_inline", "softbreak", "hardbreak")
    )


def check(repository: Repository) -> list[str]:
    """Check the lessons, the instructor's notes and the other texts.

    Returns:
        What is wrong, each with its file and line. It is empty if all is well.
    """
    problems = []
    for step in repository.steps():
        folder = f"steps/{step.name}"
        title = f"Step {step.number:02}: {step.title}"
        sections = SECTIONS if step.number else SECTIONS_OF_00
        path = f"{folder}/README.md"
        problems += of_text(repository, path, step, title, sections)
        if (repository.root / path).is_file():
            text = read(repository.root / path)
            problems += [f"{path}{problem}" for problem in todos(text, step)]
        title = f"Step {step.number:02} for the instructor: {step.title}"
        path = f"{folder}/INSTRUCTOR.md"
        problems += of_text(repository, path, step, title, SECTIONS_OF_INSTRUCTOR)
    for path in OTHER_TEXTS:
        problems += of_text(repository, path, repository.steps()[-1])
    return problems


def of_text(
    repository: Repository,
    name: str,
    step: Step,
    title: str | None = None,
    sections: tuple[str, ...] = (),
) -> list[str]:
    """Check one text.

    Args:
        repository: The workshop.
        name: The path of the text, from the workshop's root.
        step: The step that the text is about.
        title: Its heading, if that has to be a certain one.
        sections: The headings of its sections, if title is given.

    Returns:
        What is wrong, each with its file and line.
    """
    path = repository.root / name
    if not path.is_file():
        return [f"{name} is missing."]
    text = read(path)
    found = [
        *todo_ids(repository, text),
        *commands(repository, text),
        *paths(repository, text, step),
    ]
    if title:
        found += headings(text, title, sections)
    return [f"{name}{problem}" for problem in found]


def headings(text: Text, title: str, wanted: tuple[str, ...]) -> Iterator[str]:
    """Yield what is wrong with the title and the order of the sections."""
    titles = [heading for level, heading, _ in text.headings if level == 1]
    if titles != [title]:
        yield f": its only first-level heading must be '# {title}', not {titles}."
    found = tuple(heading for level, heading, _ in text.headings if level == 2)
    if found != wanted:
        yield (
            f": its sections are {', '.join(found) or 'none'}, but they must be "
            f"{', '.join(wanted)}."
        )


def todos(text: Text, step: Step) -> Iterator[str]:
    """Yield the TODOs that don't have a part of their own that names their file."""
    starts = [line for _, _, line in text.headings] + [len(text.lines) + 1]
    parts = {
        title: "\n".join(text.lines[line - 1 : min(n for n in starts if n > line) - 1])
        for level, title, line in text.headings
        if level == 3 and title.startswith("TODO")
    }
    wanted = {
        f"TODO {todo.id}: {todo.title}".replace("`", ""): todo for todo in step.todos
    }
    for title, todo in wanted.items():
        if title not in parts:
            yield f": it doesn't have '### {title}'."
        elif todo.file not in parts[title]:
            yield f": '### {title}' doesn't name its file, {todo.file}."
    for title in parts.keys() - wanted.keys():
        yield f": it has '### {title}', but step.toml has no such TODO."


def todo_ids(repository: Repository, text: Text) -> Iterator[str]:
    """Yield TODO ids that no step has."""
    ids = {todo.id for step in repository.steps() for todo in step.todos}
    for number, line in enumerate(text.lines, start=1):
        for todo_id in TODO.findall(line):
            if todo_id not in ids:
                yield f":{number}: TODO {todo_id} doesn't exist."


def commands(repository: Repository, text: Text) -> Iterator[str]:
    """Yield command lines that the runner would not accept."""
    for code, line in [*text.codes, *((c, n) for _, c, n in text.fences)]:
        for match in RUNNER.finditer(code):
            if problem := why_refused(repository, match[0]):
                yield f":{line}: `{match[0].strip()}`: {problem}"


def why_refused(repository: Repository, command: str) -> str | None:
    """Try a command line on the runner, without running it.

    Args:
        repository: The workshop.
        command: The command line. In it, N and N.k may stand for a step's number and a
            TODO's id, and DIR for a folder.

    Returns:
        Why the runner would refuse it, or None if it would not.
    """
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = itertools.takewhile(lambda word: not set(word) <= SHELL, lexer)
    steps = repository.steps()
    todo = next((todo.id for step in steps for todo in step.todos), "")
    stand_ins = {"N": str(steps[-1].number), "N.k": todo, "DIR": str(repository.root)}
    try:
        arguments = [stand_ins.get(word, word) for word in words]
        del arguments[:3]  # python3 -m workshop
        _, arguments = environment.split_wheelhouse(arguments)
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


def paths(repository: Repository, text: Text, step: Step) -> Iterator[str]:
    """Yield inline code that looks like a path of the workshop but isn't one.

    A path may be meant from the root, from the step's folder or from its solution's.
    """
    bases = [repository.root, repository.starter(step), repository.solution(step)]
    for code, line in text.codes:
        name = re.sub(r":\d+$", "", code)
        looks = "/" in name and PATH.fullmatch(name)
        if not looks or MADE_BY_RUNNING.search(name) or "NN" in name:
            continue
        if not any((base / name).exists() for base in bases):
            yield f":{line}: {code} doesn't exist."
