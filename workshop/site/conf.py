"""Settings for Sphinx, which turns the lessons into pages that work offline.

``building.build`` passes this folder to Sphinx, which runs the file. All names in lower
case are settings that https://www.sphinx-doc.org/en/master/usage/configuration.html
explains.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from workshop.core.environment import ROOT
from workshop.site import building, diagrams

project = html_title = "SAJE workshop"
root_doc = "README"
include_patterns = list(building.PAGES)
# Sphinx needn't look for pages in these folders. A .venv has thousands of files.
exclude_patterns = [".*", "solutions", "tests"]
extensions = ["myst_parser"]
# Give each heading the anchor that GitHub gives it, because the lessons link to those.
myst_heading_anchors = 6
# Show quotes and dashes as they were typed, because many of them belong to commands.
smartquotes = False

html_theme = "furo"
# The theme's own dark style underlines classes, so they look like links.
pygments_dark_style = "a11y-dark"
html_theme_options = {
    "light_css_variables": {"diagram-filter": "none"},
    # Swap light and dark, but keep the hues.
    "dark_css_variables": {"diagram-filter": "invert(0.92) hue-rotate(180deg)"},
}
templates_path = ["templates"]
html_static_path = ["web/site.css", "web/site.js"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_copyright = False
html_use_index = False
# A page on a disk may not fetch other pages, so the search can't quote from them.
html_show_search_summary = False

MENU = """

```{toctree}
:hidden:
:glob:
:caption: Steps

steps/*/README
```

```{toctree}
:hidden:
:caption: More

GLOSSARY
PROMISES
benchmarks/README
CONTRIBUTING
workshop/site/instructor
```
"""
FIRST = 100
"""Come before Sphinx, which has priority 500, collects the images of a page."""

logger = logging.getLogger(__name__)


def setup(app: Sphinx) -> None:
    """Connect the functions below to Sphinx, which calls this one by its name."""
    app.connect("source-read", add_menu)
    app.connect("doctree-read", show_diagrams, priority=FIRST)


def add_menu(app: Sphinx, page: str, source: list[str]) -> None:
    """Append the menu to the front page. On GitHub, nobody should see it.

    Args:
        app: Sphinx.
        page: The name of the page that was read.
        source: The page's text, as the only item, which may be replaced.
    """
    if page == root_doc:
        source[0] += MENU


def show_diagrams(app: Sphinx, document: nodes.document) -> None:
    """Replace each Mermaid block of a page with its picture, and link all pictures.

    Args:
        app: Sphinx.
        document: The page. A warning about a missing picture makes the build fail.
    """
    for block in list(document.findall(nodes.literal_block)):
        if block.get("language") != "mermaid":
            continue
        picture = diagrams.picture(block.astext())
        if not picture.is_file():
            logger.warning(
                "this diagram is new or has changed, so it needs a new picture. "
                f"Type: {diagrams.COMMAND}",
                location=block,
            )
            block["language"] = "text"
            continue
        uri = f"/{picture.relative_to(ROOT).as_posix()}"
        # For anyone who can't see the picture, the block describes it best.
        image = nodes.image(uri=uri, alt=block.astext(), classes=["diagram"])
        block.replace_self(image)
    for image in document.findall(nodes.image):
        # Sphinx links an image with a scale to its file, which a phone can enlarge.
        image["scale"] = 100
