"""An extension of Sphinx: what it has to do differently for ``site``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

from workshop.core.steps import Repository
from workshop.site import building, diagrams

FIRST = 100
"""Before Sphinx, with the usual 500, looks for the images of a page."""

logger = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the extension to Sphinx, which calls this."""
    app.connect("source-read", add_menu)
    app.connect("doctree-read", show_diagrams, priority=FIRST)
    app.connect("doctree-read", unlink_folders, priority=FIRST)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def add_menu(app: Sphinx, page: str, source: list[str]) -> None:
    """Add the menu of all pages to the front page, below its last line."""
    if page != app.config.root_doc:
        return
    repository = Repository(Path(app.srcdir))
    for caption, files in building.parts(repository).items():
        names = [path.relative_to(repository.root).as_posix() for path in files]
        if names:
            listed = "\n".join(name.removesuffix(".md") for name in names)
            source[0] += (
                f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n"
            )


def show_diagrams(app: Sphinx, document: nodes.document) -> None:
    """Put pictures in the place of Mermaid blocks."""
    repository = Repository(Path(app.srcdir))
    page = Path(app.env.doc2path(app.env.docname))
    for block in list(document.findall(nodes.literal_block)):
        if block.get("language") != "mermaid":
            continue
        name = diagrams.picture(repository, page, block.astext())
        path = diagrams.folder(repository) / name
        if not path.is_file():
            logger.warning(diagrams.no_picture(name), location=block)
            block["language"] = "text"
            continue
        image = nodes.image(
            uri=f"/{path.relative_to(repository.root).as_posix()}",
            alt=f"Diagram of {', '.join(titles_above(block))}",
        )
        block.replace_self(nodes.container("", image, classes=["diagram"]))


def titles_above(node: nodes.Node) -> list[str]:
    """Return the titles of the sections that a node is in, the page's title first."""
    titles: list[str] = []
    parent = node.parent
    while parent is not None:
        if isinstance(parent, nodes.section):
            titles.insert(0, parent[0].astext())
        parent = parent.parent
    return titles


def unlink_folders(app: Sphinx, document: nodes.document) -> None:
    """Make plain text of links to folders, of which there is no page."""
    page = Path(app.env.doc2path(app.env.docname))
    for link in list(document.findall(addnodes.pending_xref)):
        if (page.parent / link["reftarget"]).is_dir():
            link.replace_self(link.children)
