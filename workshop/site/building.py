"""``site``: the lessons as pages for a browser, which need no network.

The pages are made of the Markdown files where they are, and show them as they are. They
grow in a folder of their own, which takes the old one's place when all of it is right.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from pathlib import Path
from typing import Any

from workshop.core.errors import WorkshopError
from workshop.core.steps import Repository

TITLE = "SAJE workshop"
FRONT = "README.md"
COLOUR = re.compile(r"\x1b\[[\d;]*m")


def parts(repository: Repository) -> dict[str, list[Path]]:
    """Return the files that become pages, in order, by their part of the menu."""
    folders = [repository.starter(step) for step in repository.steps()]
    instructor = [folder / "INSTRUCTOR.md" for folder in folders]
    instructor.append(repository.root / "workshop" / "GRADING.md")
    more = [repository.root / "GLOSSARY.md", repository.root / "benchmarks/README.md"]
    return {
        "Steps": [folder / "README.md" for folder in folders],
        "Instructor": [path for path in instructor if path.is_file()],
        "More": [path for path in more if path.is_file()],
    }


def pages(repository: Repository) -> list[Path]:
    """Return the files that become pages: the front page, then those of the menu."""
    found = [repository.root / FRONT]
    for files in parts(repository).values():
        found += files
    return found


def build(repository: Repository, target: Path) -> Path:
    """Make the site.

    Takes: ``target``, the folder to make or to replace.
    Returns: its index.html.
    Raises: WorkshopError, and leaves the old site as it was, when something is wrong.
    """
    for path in pages(repository):
        where = path.relative_to(repository.root).as_posix()
        try:
            path.read_text(encoding="utf-8")
        except OSError as error:
            raise WorkshopError(
                f"{where} cannot be read ({error.strerror}): it is a page of the site."
            ) from None
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise WorkshopError(
                f"{where}:{line}: this is no text in UTF-8; save it as UTF-8."
            ) from None
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    part = target.with_name(f"{target.name}-part-{os.getpid()}")
    old = target.with_name(f"{target.name}-old-{os.getpid()}")
    try:
        problems = run_sphinx(repository, part)
        if problems:
            raise WorkshopError(f"The site was not made:\n{problems}")
        shutil.copyfile(part / "README.html", part / "index.html")
        if target.exists():
            target.rename(old)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return target.resolve() / "index.html"


def remove_leftovers(target: Path) -> None:
    """Remove what builds left that were killed."""
    import psutil

    for kind in ("part", "old"):
        for path in target.parent.glob(f"{target.name}-{kind}-*"):
            pid = path.name.rpartition("-")[2]
            if not (pid.isdigit() and psutil.pid_exists(int(pid))):
                shutil.rmtree(path, ignore_errors=True)


def run_sphinx(repository: Repository, output: Path) -> str:
    """Make the pages.

    Returns: what is wrong, a line for each; empty when all is well.
    """
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    warnings = io.StringIO()
    doctrees = output / ".doctrees"
    with patch_docutils(), docutils_namespace():
        try:
            Sphinx(
                srcdir=repository.root,
                confdir=None,
                outdir=output,
                doctreedir=doctrees,
                buildername="html",
                confoverrides=settings(repository),
                status=None,
                warning=warnings,
                freshenv=True,
            ).build()
        except SphinxError as error:
            warnings.write(f"{error}\n")
    shutil.rmtree(doctrees, ignore_errors=True)
    text = COLOUR.sub("", warnings.getvalue()).strip()
    text = text.replace(f"{repository.root.resolve()}{os.sep}", "")
    # What concerns the menu is said again for every page.
    return "\n".join(dict.fromkeys(text.splitlines()))


def settings(repository: Repository) -> dict[str, Any]:
    """Return the settings of Sphinx, as its conf.py would have them."""
    web = repository.root / "workshop" / "site" / "web"
    names = [path.relative_to(repository.root).as_posix() for path in pages(repository)]
    top = {name.partition("/")[0] for name in names}
    return {
        "project": TITLE,
        "html_title": TITLE,
        "root_doc": FRONT.removesuffix(".md"),
        "extensions": ["myst_parser", "workshop.site.pages"],
        "include_patterns": names,
        # Folders that Sphinx need not search.
        "exclude_patterns": [
            path.name for path in repository.root.iterdir() if path.name not in top
        ],
        "nitpicky": True,
        "smartquotes": False,
        # Links to headings, as GitHub names them.
        "myst_heading_anchors": 6,
        # Syntax that GitHub does not know.
        "myst_disable_syntax": [
            "myst_line_comment",
            "myst_block_break",
            "myst_role",
            "myst_target",
        ],
        "html_theme": "furo",
        "html_static_path": [str(web / "site.css"), str(web / "site.js")],
        "html_css_files": ["site.css"],
        "html_js_files": ["site.js"],
        "html_copy_source": False,
        "html_show_copyright": False,
        "html_use_index": False,
        # They are fetched, which a browser refuses in pages from a disk.
        "html_show_search_summary": False,
    }
