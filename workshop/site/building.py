"""Build the offline site for ``python3 -m workshop site``."""

from __future__ import annotations

import shutil
from pathlib import Path

from workshop.core.errors import WorkshopError
from workshop.core.steps import Repository

PAGES = (
    "README.md",
    "steps/*/README.md",
    "GLOSSARY.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "PROMISES.md",
    "workshop/site/instructor.md",
    "steps/*/INSTRUCTOR.md",
    "workshop/GRADING.md",
)
"""Patterns of the Markdown files that become pages, relative to the root."""


def build(repository: Repository) -> Path:
    """Build the site from scratch, and replace the old one if there are no problems.

    Sphinx prints each problem to standard error, with its file and line.

    Args:
        repository: The workshop whose lessons become pages.

    Returns:
        The path of the site's ``index.html``.

    Raises:
        WorkshopError: Sphinx found a problem, such as a link that leads nowhere.
    """
    # Other commands do without Sphinx, which is only in requirements-all.txt.
    from sphinx.cmd.build import build_main

    site = repository.state / "site"
    new = repository.state / "site-new"
    pages, cache = new / "pages", new / "cache"
    settings = Path(__file__).parent  # The folder of conf.py.
    options = ["--quiet", "--nitpicky", "--fail-on-warning", "--conf-dir", settings]
    options += ["--doctree-dir", cache, repository.root, pages]
    shutil.rmtree(new, ignore_errors=True)  # A build that was killed leaves it behind.
    try:
        if build_main([str(option) for option in options]) != 0:
            raise WorkshopError(
                "The site wasn't built, because Sphinx found the problems above. "
                "Correct them,\nand type the command again. If you have an older "
                "site, it is still there."
            )
        shutil.copyfile(pages / "README.html", pages / "index.html")
        if site.exists():
            shutil.rmtree(site)
        pages.rename(site)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return site / "index.html"
