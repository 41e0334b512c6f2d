"""The pictures of the diagrams, for the pages of ``site``.

A page that needs no network cannot draw a Mermaid diagram, so its picture is made
beforehand and kept in ``workshop/site/web/diagrams/``. The name of its file ends in a
digest of the diagram: after a change there is no picture of that name, and the tests
say so.

After a change of a diagram: ``python3 -m workshop.site.diagrams``. That needs npx,
which comes with Node.js, Chromium or Chrome, and a network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workshop.core import environment
from workshop.core.errors import WorkshopError
from workshop.core.files import write_whole
from workshop.core.steps import Repository
from workshop.site import building

COMMAND = "python3 -m workshop.site.diagrams"
MERMAID = "@mermaid-js/mermaid-cli@11.17.0"
BLOCK = re.compile(r"^```mermaid\n(.*?)^```", re.MULTILINE | re.DOTALL)
WIDEST = 640
"""Pixels: what a page has beside its menu, on a laptop."""
SETTINGS = {
    "theme": "neutral",
    # Text as text of the SVG: browsers do not agree on HTML in an image.
    "htmlLabels": False,
    "flowchart": {
        "htmlLabels": False,
        "useMaxWidth": False,
        "rankSpacing": 40,
        "nodeSpacing": 30,
        "padding": 10,
    },
    "sequence": {
        "useMaxWidth": False,
        "mirrorActors": False,
        "width": 100,
        "height": 40,
        "actorMargin": 20,
        "messageMargin": 30,
        "diagramMarginX": 10,
    },
    # Alike in width: one on Linux, the other elsewhere. Another one is narrower.
    "fontFamily": "DejaVu Sans, Verdana, sans-serif",
    "fontSize": 13,
    "themeVariables": {"fontSize": "13px"},
    # A label hides the line below it.
    "themeCSS": ".edgeLabel rect { opacity: 1 !important; }",
}
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
TIME = 300
"""Seconds that one picture may take; the first one gets mermaid-cli, too."""


@dataclass(frozen=True)
class Diagram:
    """A Mermaid block of a page."""

    where: str
    """Its file, from the root of the workshop, and its line."""
    text: str
    picture: str
    """The name of its picture's file."""


def folder(repository: Repository) -> Path:
    """Return where the pictures are."""
    return repository.root / "workshop" / "site" / "web" / "diagrams"


def picture(repository: Repository, page: Path, text: str) -> str:
    """Return the name of a diagram's picture.

    Takes: ``page``, the file that has the diagram; ``text``, what its fences hold.
    """
    name = "workshop" if page.parent == repository.root else page.parent.name
    made_of = json.dumps([text.strip(), SETTINGS, WIDEST, MERMAID])
    return f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:8]}.svg"


def of(repository: Repository) -> Iterator[Diagram]:
    """Yield the diagrams of every page of the site."""
    for page in building.pages(repository):
        source = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(source):
            line = source.count("\n", 0, match.start()) + 1
            where = f"{page.relative_to(repository.root).as_posix()}:{line}"
            yield Diagram(where, match[1], picture(repository, page, match[1]))


def check(repository: Repository) -> list[str]:
    """Tell which diagrams have no picture, and which pictures no diagram.

    Returns: a sentence for each, with what to type; empty when all is well.
    """
    diagrams = list(of(repository))
    there = {path.name for path in folder(repository).glob("*.svg")}
    return [
        *(
            f"{diagram.where}: {no_picture(diagram.picture)}"
            for diagram in diagrams
            if diagram.picture not in there
        ),
        *(
            f"workshop/site/web/diagrams/{name} is of a diagram that is gone. "
            f"Type: {COMMAND}"
            for name in sorted(there - {diagram.picture for diagram in diagrams})
        ),
    ]


def no_picture(name: str) -> str:
    """Say that a diagram's picture is missing, and what to type."""
    return (
        f"this diagram is new or was changed, and workshop/site/web/diagrams/{name}, "
        f"its picture, is not there. Type: {COMMAND}"
    )


def make(repository: Repository) -> list[str]:
    """Make the pictures that are missing, and remove those of no diagram.

    Returns: the names of the files that were made or removed.
    Raises: WorkshopError when a program is missing, or a diagram has a mistake.
    """
    wanted = {diagram.picture: diagram for diagram in of(repository)}
    there = {path.name for path in folder(repository).glob("*.svg")}
    made = sorted(wanted.keys() - there)
    for name in made:
        content = drawn(wanted[name].text, wanted[name].where)
        write_whole(folder(repository) / name, content, scratch=folder(repository))
    gone = sorted(there - wanted.keys())
    for name in gone:
        (folder(repository) / name).unlink()
    return made + gone


def drawn(text: str, where: str) -> bytes:
    """Return the picture of a diagram, as SVG.

    A flowchart that is too wide from left to right is drawn from top to bottom instead,
    with ELK because it keeps the arrows apart. In a sequence diagram that is too wide,
    long texts are wrapped.
    """
    content = drawn_with(SETTINGS, text, where)
    width = re.search(rb'<svg[^>]* width="([\d.]+)"', content)
    if width and float(width[1]) > WIDEST:
        down = re.sub(r"^(\s*(?:flowchart|graph)) LR", r"\1 TB", text)
        content = drawn_with({**SETTINGS, "layout": "elk", "wrap": True}, down, where)
    return content.rstrip() + b"\n"


def drawn_with(settings: dict[str, object], text: str, where: str) -> bytes:
    """Return the picture that mermaid-cli makes of a diagram, with these settings."""
    npx = shutil.which("npx")
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if npx is None or browser is None:
        raise WorkshopError(
            "Pictures of diagrams are made by npx (of Node.js) and Chromium or Chrome; "
            f"{'npx' if npx is None else 'Chromium'} was not found. Install it, and "
            f"type again: {COMMAND}"
        )
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        # The sandbox does not work everywhere, and these diagrams are our own.
        browser_settings = {"executablePath": browser, "args": ["--no-sandbox"]}
        (scratch / "browser.json").write_text(json.dumps(browser_settings))
        (scratch / "settings.json").write_text(json.dumps(settings))
        (scratch / "diagram.mmd").write_text(text, encoding="utf-8")
        command = [npx, "--yes", MERMAID, "-p", "browser.json", "-c", "settings.json"]
        command += ["-b", "white", "-I", "diagram", "-i", "diagram.mmd"]
        command += ["-o", "diagram.svg"]
        try:
            done = subprocess.run(
                command,
                cwd=scratch,
                env={**os.environ, "PUPPETEER_SKIP_DOWNLOAD": "1"},
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=TIME,
            )
        except subprocess.TimeoutExpired:
            raise WorkshopError(
                f"{where}: no picture within {TIME} s. Look at the network, which gets "
                f"{MERMAID}, and type again: {COMMAND}"
            ) from None
        result = scratch / "diagram.svg"
        if done.returncode or not result.is_file():
            # Below what is wrong is a traceback of JavaScript.
            said = (done.stderr or done.stdout).strip().partition("\n    at ")[0]
            raise WorkshopError(f"{where}: no picture was made. Mermaid said:\n{said}")
        return result.read_bytes()


def main() -> int:
    """Make the pictures, and print which; return the exit status."""
    try:
        changed = make(Repository(environment.ROOT))
    except WorkshopError as error:
        print(error, file=sys.stderr)
        return environment.USAGE_ERROR
    print("\n".join(changed) or "Every diagram has its picture.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
