"""The site: built as a user builds it, then every page of it read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.workshop.conftest import ROOT, write
from workshop.core.steps import Repository
from workshop.site import building, diagrams

NOT_COPIED = shutil.ignore_patterns("__pycache__", ".*", "*.jsonl")
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src"}
"""What a browser loads by itself, by the attribute that says from where."""


@dataclass
class Page(HTMLParser):
    """What the tests need to know of a page."""

    path: Path
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    """Alternative texts, by source."""
    menu: list[str] = field(default_factory=list)
    """Links of the list of all pages."""
    folded: list[str] = field(default_factory=list)
    """The tags in folded parts."""
    inside: list[str] = field(default_factory=list)
    """The parts, folded or lists of pages, that have not ended."""

    def __post_init__(self) -> None:
        """Read the page."""
        super().__init__()
        self.text = self.path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag has."""
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values["id"]} if "id" in values else set()
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
            if "reference internal" in values.get("class", "") and "nav" in self.inside:
                self.menu.append(values["href"])
        if LOADED.get(tag) in values and values.get("rel") not in ("next", "prev"):
            self.loaded.append(values[LOADED[tag]])
        if tag == "img":
            self.images[values["src"]] = values["alt"]
        if "details" in self.inside:
            self.folded.append(tag)
        if "sidebar-tree" in values.get("class", ""):
            tag = "nav"
        if tag in ("details", "nav"):
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Note that a folded part, or the list of pages, has ended."""
        ends = {"details": "details", "aside": "nav"}
        if ends.get(tag) in self.inside:
            self.inside.remove(ends[tag])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workshop, as from a downloaded zip: without git."""
    root = tmp_path_factory.mktemp("site") / "saje workshop (1)"
    return shutil.copytree(ROOT, root, ignore=NOT_COPIED)


@pytest.fixture
def copy(root: Path, built: Path, tmp_path: Path) -> Path:
    """A copy with its site, to do harm to."""
    return shutil.copytree(root, tmp_path / "copy")


def command(root: Path, *options: str) -> list[str]:
    """Return the command line that makes the site."""
    return [sys.executable, str(root / "workshop"), "site", *options]


def make(root: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Make the site as a user does, from a folder that is not the workshop's."""
    return subprocess.run(
        command(root, *options),
        cwd=root.parent,
        env={**os.environ, **env},
        capture_output=True,
        encoding="utf-8",
        timeout=50,
    )


@pytest.fixture(scope="module")
def built(root: Path) -> Path:
    """The folder of the site, whose address the command has printed."""
    done = make(root)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    address = done.stdout.splitlines()[-1]
    assert address == (root / ".workshop/site/index.html").resolve().as_uri()
    return root / ".workshop" / "site"


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[str, Page]:
    """Every page, by its path in the site."""
    found = {
        path.relative_to(built).as_posix(): Page(path)
        for path in sorted(built.rglob("*.html"))
    }
    assert len(found) > 7
    return found


def files(folder: Path) -> dict[str, bytes]:
    """Return the contents of a folder's files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_text_is_a_page(root: Path, pages: dict[str, Page]) -> None:
    """Each has its page, in the menu of each other page; the front page is first."""
    repository = Repository(root)
    names = [
        path.relative_to(root).with_suffix(".html").as_posix()
        for path in building.pages(repository)
    ]
    assert pages.keys() == {*names, "index.html", "search.html"}
    assert pages["index.html"].text == pages["README.html"].text
    assert [unquote(link) for link in pages["index.html"].menu] == names[1:]
    assert [name for name, page in pages.items() if page.inside] == []
    for step in repository.steps():
        page = pages[f"steps/{step.name}/README.html"]
        assert f"<h1>Step {step.number:02}: {step.title}<a" in page.text
        assert "../../README.html" in page.links
        assert len(page.menu) == len(names) - 1


def test_every_link_leads_somewhere(pages: dict[str, Page], built: Path) -> None:
    """Each file that a page names is in the site, and each anchor on its page."""
    seen = 0
    for page in pages.values():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme == "https"
                continue
            path = page.path
            if parts.path:
                path = (page.path.parent / unquote(parts.path)).resolve()
            assert path.is_relative_to(built.resolve()), f"{page.path}: {link}"
            assert path.is_file(), f"{page.path}: {link}"
            if parts.fragment and path.suffix == ".html":
                ids = pages[path.relative_to(built.resolve()).as_posix()].ids
                assert unquote(parts.fragment) in ids, f"{page.path}: {link}"
            seen += 1
    assert seen > 200


def test_no_page_needs_a_network(pages: dict[str, Page], built: Path) -> None:
    """No page, style or picture loads anything from elsewhere."""
    for page in pages.values():
        assert len(page.loaded) > 5
        for address in page.loaded:
            assert not re.match(r"[a-z]+:|//", address), f"{page.path}: {address}"
    texts = [*built.rglob("*.css"), *built.rglob("*.svg")]
    assert len(texts) > 10
    for path in texts:
        text = path.read_text(encoding="utf-8")
        elsewhere = (
            r"""@import|url\((?!["']?(?:data:|#))[^)]*//|(?:href|src)="[^#"]*//"""
        )
        assert not re.search(elsewhere, text), path


def test_every_diagram_is_a_picture(root: Path, pages: dict[str, Page]) -> None:
    """Each diagram is there, under the name of its page; none is left as text."""
    count = 0
    for path in building.pages(Repository(root)):
        page = pages[path.relative_to(root).with_suffix(".html").as_posix()]
        blocks = path.read_text(encoding="utf-8").count("```mermaid")
        pictures = [alt for src, alt in page.images.items() if src.endswith(".svg")]
        assert len(pictures) == blocks, path
        assert all(alt.startswith("Diagram of ") for alt in pictures)
        assert "flowchart" not in page.text
        count += blocks
    assert count >= len(Repository(root).steps())


def test_answers_are_folded(root: Path, pages: dict[str, Page]) -> None:
    """They are rendered, in a part that is closed at first."""
    for step in Repository(root).steps():
        page = pages[f"steps/{step.name}/README.html"]
        assert "<details>" in page.text
        assert page.folded.count("li") > 1
        assert "h2" not in page.folded


def test_again_and_open(copy: Path, tmp_path: Path) -> None:
    """A second time it makes the same; --open shows it in the browser."""
    before = files(copy / ".workshop/site")
    write(copy / ".workshop/site/old.html", "of a lesson that is gone")
    browser = tmp_path / "browser.py"
    write(
        browser, "import sys, pathlib\npathlib.Path('opened').write_text(sys.argv[1])"
    )
    browse = f'"{Path(sys.executable).as_posix()}" "{browser.as_posix()}" %s'
    done = make(copy, "--open", BROWSER=browse)
    assert done.returncode == 0, done.stderr
    assert files(copy / ".workshop/site").keys() == before.keys()
    address = done.stdout.splitlines()[-1]
    assert (tmp_path / "opened").read_text() == address


def test_mistakes_are_told(copy: Path) -> None:
    """Each with its file and line; the site stays as it was."""
    before = files(copy / ".workshop/site")
    lesson = copy / "steps/01_shared_queue/README.md"
    text = lesson.read_text(encoding="utf-8")
    text = text.replace("```mermaid\n", "```mermaid\n%% another\n")
    lines = text.count("\n")
    diagram = text.splitlines().index("```mermaid") + 1
    text += "\n[one](#no-heading)\n\n[two](../no.md)\n\n![three](no.png)\n"
    text += "\n[four](../02_managed_process/README.md#no)\n\n[fine](../../workshop/)\n"
    lesson.write_text(text, encoding="utf-8")
    done = make(copy)
    assert done.returncode == 2
    assert done.stdout == ""
    said = done.stderr.splitlines()
    assert said[0] == "The site was not made:"
    where = "steps/01_shared_queue/README.md:"
    assert all(line.startswith(where) for line in said[1:]), said
    starts = [
        f"{where}{diagram}: WARNING: this diagram is new or was changed",
        f"{where}{lines + 2}: WARNING: 'myst' cross-reference target not found: 'no-h",
        f"{where}{lines + 4}: WARNING: 'myst' cross-reference target not found: '../no",
        f"{where}{lines + 6}: WARNING: image file not readable",
        f"{where}{lines + 8}: WARNING: local id not found in doc 'steps/02_managed",
    ]
    for start in starts:
        assert any(line.startswith(start) for line in said), (start, said)
    assert len(said) == 1 + len(starts)
    assert files(copy / ".workshop/site") == before
    assert [path.name for path in (copy / ".workshop").iterdir()] == ["site"]


def test_lessons_that_cannot_be_read(copy: Path) -> None:
    """It says which: one that is no text, one that is missing."""
    lesson = copy / "steps/01_shared_queue/README.md"
    where = "steps/01_shared_queue/README.md"
    lesson.write_bytes("# Un café\n\n".encode() + "Un café".encode("latin-1"))
    done = make(copy)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{where}:3: this is no text in UTF-8")
    lesson.unlink()
    done = make(copy)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{where} cannot be read (No such file")


def test_killed(copy: Path) -> None:
    """The site stays as it was; the next one is whole, and clears up."""
    before = files(copy / ".workshop/site")
    process = subprocess.Popen(command(copy))
    wait_for(lambda: any((copy / ".workshop").glob("site-part-*")))
    process.kill()
    process.wait(20)
    assert any((copy / ".workshop").glob("site-part-*"))
    assert files(copy / ".workshop/site") == before
    write(copy / "steps/01_shared_queue/INSTRUCTOR.md", "# Step 01, taught\n\nSo.\n")
    assert make(copy).returncode == 0
    assert [path.name for path in (copy / ".workshop").iterdir()] == ["site"]
    page = Page(copy / ".workshop/site/index.html")
    assert "steps/01_shared_queue/INSTRUCTOR.html" in page.menu
    assert ">Instructor<" in page.text


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so, for 20 seconds at most."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_pictures_are_checked(small: Repository) -> None:
    """A diagram without its picture is told, and a picture without its diagram."""
    shutil.rmtree(diagrams.folder(small))
    diagram = "```mermaid\nflowchart LR\n    a --> b\n```\n"
    write(small.root / "README.md", f"# The top\n\n{diagram}")
    for step in small.steps():
        write(small.starter(step) / "README.md", f"# It\n\nText.\n\n{diagram}")
    problems = diagrams.check(small)
    assert len(problems) == 1 + len(small.steps())
    assert problems[0].startswith("README.md:3: this diagram is new or was changed")
    assert problems[1].startswith("steps/00_start/README.md:5: this diagram is new")
    assert problems[1].endswith("Type: python3 -m workshop.site.diagrams")
    for found in diagrams.of(small):
        write(diagrams.folder(small) / found.picture, "<svg/>")
    assert diagrams.check(small) == []
    changed = diagram.replace("a --> b", "b --> a")
    write(small.root / "steps/00_start/README.md", f"# It\n\n{changed}")
    missing, left = diagrams.check(small)
    assert missing.startswith("steps/00_start/README.md:3: this diagram is new")
    assert re.match(
        r"workshop/site/web/diagrams/00_start-\w+\.svg is of a diagram", left
    )


def test_pictures_need_programs(copy: Path) -> None:
    """Without them, the command that makes pictures says which."""
    for path in diagrams.folder(Repository(copy)).iterdir():
        path.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "workshop.site.diagrams"],
        cwd=copy,
        env={**os.environ, "PATH": ""},
        capture_output=True,
        encoding="utf-8",
        timeout=50,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Pictures of diagrams are made by npx")
    assert "npx was not found" in done.stderr
