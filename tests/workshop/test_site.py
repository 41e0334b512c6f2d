"""The offline site: built by its command, then read as a browser reads it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from tests.workshop.conftest import LIMIT, ROOT, write
from workshop.core.steps import Repository
from workshop.site import diagrams

STEPS = [f"steps/{step.name}/README.html" for step in Repository(ROOT).steps()]
BROWSER = next(filter(None, map(shutil.which, diagrams.CHROMIUM)), None)
LESSON = "steps/01_shared_queue/README.md"
PROBE = """<script>
for (const part of document.querySelectorAll(":root, .highlight pre"))
  part.classList.add(part.scrollWidth > part.clientWidth ? "wide" : "fits");
</script>"""


def run(*command: Path | str, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    """Run a program."""
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workshop, in a folder whose name needs quoting."""
    root = tmp_path_factory.mktemp("site") / "saje workshop (1)"
    ignore = shutil.ignore_patterns("__pycache__", ".*", "*.jsonl")
    return shutil.copytree(ROOT, root, ignore=ignore)


@pytest.fixture(scope="module")
def site(root: Path) -> Path:
    """The site that ``site --open`` builds, shows, and says the address of."""
    outside = root.parent
    write(root / ".workshop/site/old.html", "The page of a lesson that is gone.")
    browser = "import sys, pathlib; pathlib.Path('opened').write_text(sys.argv[1])"
    write(outside / "browser.py", browser)
    env = {"BROWSER": f'"{Path(sys.executable).as_posix()}" browser.py %s'}
    done = run(sys.executable, root / "workshop", "site", "--open", cwd=outside, **env)
    assert (done.returncode, done.stderr) == (0, "")
    index = root / ".workshop/site/index.html"
    address = index.resolve().as_uri()
    assert done.stdout.splitlines()[-1] == address
    assert (outside / "opened").read_text() == address
    return index.parent


def read(page: Path) -> BeautifulSoup:
    """Parse a page."""
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def test_pages_follow_the_steps(site: Path) -> None:
    """ "Next" leads from step to step, and then to every other page."""
    order = ["README.html"]
    while link := read(site / order[-1]).find("link", rel="next"):
        page = (site / order[-1]).parent / str(link["href"])
        order.append(page.resolve().relative_to(site.resolve()).as_posix())
    assert order[1 : len(STEPS) + 1] == STEPS
    pages = {page.relative_to(site).as_posix() for page in site.rglob("*.html")}
    assert pages == {*order, "index.html", "search.html"}


def test_notes_of_the_instructor_are_apart(site: Path) -> None:
    """In the menu they are a single line, after the lessons."""
    menu = read(site / "index.html").select(".sidebar-tree li.toctree-l1 > a")
    titles = [link.get_text() for link in menu]
    assert titles[len(STEPS) :] == [
        "Glossary",
        "Where the promises come from",
        "Benchmarks",
        "Contributing",
        "For the instructor",
    ]
    notes = read(site / "workshop/site/instructor.html").select("article li a")
    assert len(notes) == len(STEPS) + 1


def test_no_page_needs_a_network(site: Path) -> None:
    """No page, style or picture loads anything from elsewhere."""
    for page in site.rglob("*.html"):
        loaded = read(page).select("script[src], img[src], link")
        assert len(loaded) > 5
        for tag in loaded:
            address = str(tag.get("src") or tag.get("href"))
            assert not re.match(r"[a-z]+:|//", address), f"{page}: {address}"
    elsewhere = re.compile(r"""@import|url\(["']?(https?:)?//|href=["'](https?:)?//""")
    for style in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        assert not elsewhere.search(style.read_text(encoding="utf-8")), style


def test_every_diagram_is_a_picture(site: Path) -> None:
    """Each Mermaid block became a picture, and no picture is left over."""
    for page in [ROOT / "README.md", *ROOT.glob("steps/*/README.md")]:
        blocks = page.read_text(encoding="utf-8").count("```mermaid")
        built = site / page.relative_to(ROOT).with_suffix(".html")
        pictures = read(built).select("a[href$='.svg'] > img.diagram")
        assert len(pictures) == blocks > 0
    shown = {path.name for path in (site / "_images").iterdir()}
    measured = {path.name for path in (ROOT / "benchmarks/pictures").iterdir()}
    assert shown - measured == {path.name for path in diagrams.FOLDER.iterdir()}


@pytest.mark.skipif(BROWSER is None, reason="Chromium or Chrome isn't installed")
def test_on_a_phone(site: Path, tmp_path: Path) -> None:
    """No command leaves the window, and whatever can be copied has a button."""
    page = shutil.copytree(site, tmp_path / "site") / STEPS[3]
    with page.open("a", encoding="utf-8") as file:
        file.write(PROBE)
    # Chromium's window can't be narrower than 500 pixels.
    options = ["--headless", "--no-sandbox", "--window-size=500,844", "--dump-dom"]
    options += [f"--user-data-dir={tmp_path}", "--virtual-time-budget=5000"]
    done = run(str(BROWSER), *options, page.as_uri(), cwd=tmp_path)
    lesson = BeautifulSoup(done.stdout, "html.parser")
    assert lesson.select("html.fits")
    assert lesson.select(".highlight-sh .fits")
    assert not lesson.select(":is(.highlight-sh, .highlight-text) .wide")
    for language, buttons in (("sh", 1), ("python", 1), ("text", 0), ("diff", 0)):
        blocks = lesson.select(f".highlight-{language}")
        found = [len(block.select("button.copy")) for block in blocks]
        assert found == [buttons] * len(blocks) != [], language


def test_problems_are_named(root: Path, tmp_path: Path) -> None:
    """Each problem is named with its file and line."""
    copy = shutil.copytree(root, tmp_path / "copy")
    text = (copy / LESSON).read_text(encoding="utf-8")
    line = text[: text.index("```mermaid")].count("\n") + 1
    problems = {line: "this diagram is new or has changed"}
    text = text.replace("```mermaid\n", "```mermaid\n%% changed\n")
    for wrong in ("[1](#no)", "[2](../no.md)", "![3](no.png)", "[4](INSTRUCTOR.md#no)"):
        text += f"\n{wrong}\n"
        problems[text.count("\n")] = r"\bno\b"
    (copy / LESSON).write_text(text, encoding="utf-8")
    done = run(sys.executable, "workshop", "site", cwd=copy)
    assert done.returncode == 2
    for line, problem in problems.items():
        pattern = rf"{LESSON}:{line}: WARNING: .*{problem}"
        assert re.search(pattern, done.stderr), (pattern, done.stderr)
    assert "Sphinx found the problems above." in done.stderr
