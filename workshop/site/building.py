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
    """Build the site from scratch.

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
    shutil.rmtree(site, ignore_errors=True)  # It may have pages that are gone.
    settings = Path(__file__).parent  # The folder of conf.py.
    options = ["--quiet", "--nitpicky", "--fail-on-warning", "--conf-dir", settings]
    if build_main([str(option) for option in (*options, repository.root, site)]) != 0:
        raise WorkshopError(
            "Sphinx found the problems above. Correct them, and type the command again."
        )
    return Path(shutil.copyfile(site / "README.html", site / "index.html"))
