"""The lessons: each text has its sections, and everything it names exists."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

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
OTHER_TEXTS = ("README.md", "CONTRIBUTING.md", "GLOSSARY.md", "workshop/GRADING.md")
QUESTIONS = (2, 3)
RUNNER = re.compile(r"python3? -m workshop\b[^\n]*")
FILE = re.compile(
    r"[\w.-]+(/[\w.-]+)*/?\.(py|md|toml|txt|jsonl?|html|db|css|js|svg|png)"
)
FOLDER = re.compile(r"([\w.-]+/)+")
SHELL = frozenset("&|;<>()")
"""What ends a command's own arguments on a command line."""
OURS = re.compile(r"(steps|solutions|tests|workshop|benchmarks)/[\w./-]+")
MADE_BY_RUNNING = re.compile(r"\.jsonl$|\.db$|^\.venv|^\.workshop")
"""Files that are there only while, or after, something runs."""


@dataclass
class Text:
    """What the checks need to know of a Markdown file."""

    headings: list[tuple[int, str, int]] = field(default_factory=list)
    """Level, text and line of each, in order."""
    fences: list[tuple[str, str, int]] = field(default_factory=list)
    """Language, content and line of each code block."""
    codes: list[tuple[str, int]] = field(default_factory=list)
    """Content and line of each inline code."""
    links: list[tuple[str, int]] = field(default_factory=list)
    """Target and line of each link and image."""
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
            for child in token.children or []:
                if child.type == "code_inline":
                    text.codes.append((child.content, line))
                elif child.type in ("link_open", "image"):
                    name = "href" if child.type == "link_open" else "src"
                    text.links.append((str(child.attrs[name]), line))
    return text


def plain(inline: Token) -> str:
    """Return the text of an inline token without its marks."""
    return "".join(
        child.content if child.type in ("text", "code_inline") else " "
        for child in inline.children or []
        if child.type in ("text", "code_inline", "softbreak", "hardbreak")
    )


def check(repository: Repository) -> list[str]:
    """Check every lesson, the texts for the instructor, the README and the glossary.

    Returns: what is wrong, each with its file and line; empty when all is well.
    """
    problems = []
    for step in repository.steps():
        path = repository.starter(step) / "README.md"
        where = path.relative_to(repository.root).as_posix()
        if not path.is_file():
            problems.append(f"{where} is missing.")
            continue
        text = read(path)
        found = [
            *headings(
                text,
                f"Step {step.number:02}: {step.title}",
                SECTIONS if step.number else SECTIONS_OF_00,
            ),
            *diagrams(text),
            *todos(text, step),
            *provided_files(text, step),
            *answers(text),
            *names(repository, path, text, step),
        ]
        problems += [f"{where}{problem}" for problem in found]
    problems += [p for s in repository.steps() for p in of_instructor(repository, s)]
    for name in OTHER_TEXTS:
        path = repository.root / name
        if not path.is_file():
            problems.append(f"{name} is missing.")
            continue
        found = names(repository, path, read(path), None)
        problems += [f"{name}{problem}" for problem in found]
    return problems


def names(
    repository: Repository, path: Path, text: Text, step: Step | None
) -> list[str]:
    """Return what is wrong with the links, commands, paths and todos of a text.

    Takes: ``step``, that the text is about; None for the whole workshop.
    """
    return [
        *todo_ids(repository, text),
        *links(repository, path, text),
        *commands(repository, text),
        *paths(repository, text, step),
    ]


def of_instructor(repository: Repository, step: Step) -> list[str]:
    """Return what is wrong with what the instructor reads about a step."""
    path = repository.starter(step) / "INSTRUCTOR.md"
    where = path.relative_to(repository.root).as_posix()
    if not path.is_file():
        return [f"{where} is missing."]
    text = read(path)
    title = f"Step {step.number:02} for the instructor: {step.title}"
    found = [
        *headings(text, title, SECTIONS_OF_INSTRUCTOR),
        *names(repository, path, text, step),
    ]
    return [f"{where}{problem}" for problem in found]


def headings(text: Text, title: str, wanted: tuple[str, ...]) -> Iterator[str]:
    """Yield what is wrong with the title and the order of the sections."""
    titles = [heading for level, heading, _ in text.headings if level == 1]
    if titles != [title]:
        yield f": its only first-level heading must be '# {title}', not {titles}."
    found = tuple(heading for level, heading, _ in text.headings if level == 2)
    if found != wanted:
        yield (
            f": its sections are {', '.join(found) or 'none'}; they must be "
            f"{', '.join(wanted)}."
        )


def diagrams(text: Text) -> Iterator[str]:
    """Yield what is wrong with the diagrams: one, in mermaid, must come early."""
    at = [line for language, _, line in text.fences if language == "mermaid"]
    if not at:
        yield ": it doesn't have a mermaid block; draw one before the section Predict."
        return
    limits = [
        n for level, title, n in text.headings if (level, title) == (2, "Predict")
    ]
    if limits and at[0] > limits[0]:
        yield f":{at[0]}: the first diagram must come before the section Predict."


def todos(text: Text, step: Step) -> Iterator[str]:
    """Yield which todos have no part of their own in Build, naming their file."""
    starts = [line for _, _, line in text.headings] + [len(text.lines) + 1]
    in_build = section_lines(text, "Build")
    parts = {
        title: "\n".join(text.lines[line - 1 : min(n for n in starts if n > line) - 1])
        for level, title, line in text.headings
        if level == 3 and line in in_build
    }
    wanted = {f"TODO {todo.id}: {todo.title}": todo for todo in step.todos}
    plain_titles = {title.replace("`", ""): todo for title, todo in wanted.items()}
    for title, todo in plain_titles.items():
        if title not in parts:
            yield f": Build doesn't have '### {title}'."
        elif todo.file not in parts[title]:
            yield f": '### {title}' does not name its file, {todo.file}."
    for title in parts:
        if title.startswith("TODO") and title not in plain_titles:
            yield f": Build has '### {title}', but step.toml has no such TODO."


def section_lines(text: Text, name: str) -> range:
    """Return the numbers of the lines of a section, by its H2."""
    starts = [(line, title) for level, title, line in text.headings if level == 2]
    ends = [line for line, _ in starts[1:]] + [len(text.lines) + 1]
    for (line, title), end in zip(starts, ends, strict=False):
        if title == name:
            return range(line, end)
    return range(0)


def provided_files(text: Text, step: Step) -> Iterator[str]:
    """Yield which provided files the lesson does not name."""
    everything = "\n".join(text.lines)
    for name in sorted(step.provided):
        if name not in everything:
            yield f": it does not name {name}, which the step provides."


def answers(text: Text) -> Iterator[str]:
    """Yield what is wrong with the questions: two or three, their answers folded."""
    lines = section_lines(text, "Questions")
    part = "\n".join(text.lines[lines.start - 1 : lines.stop - 1]) if lines else ""
    if part.count("<details>") == 0 or part.count("<details>") != part.count(
        "</details>"
    ):
        yield ": in Questions the answers must be folded with <details>…</details>."
        return
    asked, answered = (
        len(re.findall(r"^\d+\. ", piece, re.MULTILINE))
        for piece in part.split("<details>", 1)
    )
    if asked not in QUESTIONS or asked != answered:
        yield (
            f": in Questions there are {asked} questions and {answered} answers, "
            "but there must be two or three of each, all numbered."
        )


def todo_ids(repository: Repository, text: Text) -> Iterator[str]:
    """Yield TODO ids that no step has."""
    ids = {todo.id for step in repository.steps() for todo in step.todos}
    for number, line in enumerate(text.lines, start=1):
        for todo_id in TODO.findall(line):
            if todo_id not in ids:
                yield f":{number}: TODO {todo_id} doesn't exist."


def links(repository: Repository, path: Path, text: Text) -> Iterator[str]:
    """Yield relative links to a file, or to a heading in it, that doesn't exist."""
    for target, line in text.links:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.is_relative_to(repository.root.resolve()) or not file.exists():
            yield f":{line}: the link to {target} doesn't lead to a file here."
        elif anchor and (file.suffix != ".md" or anchor not in anchors(read(file))):
            yield f":{line}: the link to {target} doesn't lead to a heading there."


def anchors(text: Text) -> set[str]:
    """Return the anchors that GitHub gives the headings of a text."""
    seen: dict[str, int] = {}
    found = set()
    for _, title, _ in text.headings:
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


def commands(repository: Repository, text: Text) -> Iterator[str]:
    """Yield command lines that the runner would not accept."""
    for code, line in [*text.codes, *((c, n) for _, c, n in text.fences)]:
        for match in RUNNER.finditer(code):
            if problem := why_refused(repository, match[0]):
                yield f":{line}: `{match[0].strip()}`: {problem}"


def why_refused(repository: Repository, command: str) -> str | None:
    """Try a command line on the runner, without running it.

    In it, N and N.k may stand for a step's number and a todo's id, DIR for a folder.

    Returns: why the runner would refuse it; None when it would not.
    """
    import typer

    from workshop import cli

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


def paths(repository: Repository, text: Text, step: Step | None) -> Iterator[str]:
    """Yield inline code that looks like a path of the workshop but isn't one.

    A path may be meant from the root, the step's folder or its solution's.

    Takes: ``step``, whose lesson it is; None for the README, which is about the last.
    """
    step = step or repository.steps()[-1]
    bases = [repository.root, repository.starter(step), repository.solution(step)]
    for code, line in text.codes:
        name = re.sub(r":\d+$", "", code)
        looks = "/" in name and any(p.fullmatch(name) for p in (FILE, FOLDER, OURS))
        if not looks or MADE_BY_RUNNING.search(name) or "NN" in name:
            continue
        if not any((base / name).exists() for base in bases):
            yield f":{line}: {code} doesn't exist."
