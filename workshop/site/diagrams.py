"""Draw the diagrams of the lessons for ``python3 -m workshop site``.

To draw a Mermaid diagram, a browser needs some 3 MB of JavaScript. The site shows
pictures instead, which are drawn beforehand and kept in ``web/diagrams``. The name of a
picture is a digest of its diagram, so a diagram that was changed doesn't have a picture
until you type ``python3 -m workshop.site.diagrams``. The command needs npx, which comes
with Node.js, Chromium or Chrome, and a network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from workshop.core.environment import ROOT
from workshop.site import building

COMMAND = "python3 -m workshop.site.diagrams"
FOLDER = Path(__file__).parent / "web" / "diagrams"
MERMAID = "@mermaid-js/mermaid-cli@11.17.0"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
BLOCK = re.compile(r"^```mermaid\n(.*?)^```", re.MULTILINE | re.DOTALL)
SETTINGS = Path(__file__).with_name("mermaid.json")
"""Of the fonts, Linux has the first, and others have the second, which is almost as
wide. ELK keeps the arrows apart. Browsers show HTML labels inside an SVG in different
ways, or not at all. A white edge keeps lines out of the text that they pass. And the
narrower a diagram is, the larger a phone shows it."""


def picture(diagram: str) -> Path:
    """Return the path that a diagram's picture has, or would have.

    Args:
        diagram: The text of the Mermaid block, without its fences.
    """
    settings = json.loads(SETTINGS.read_text(encoding="utf-8"))
    made_of = json.dumps([diagram.strip(), settings, MERMAID])
    return FOLDER / f"{hashlib.sha256(made_of.encode()).hexdigest()[:12]}.svg"


def draw(diagram: str, picture: Path) -> None:
    """Draw a diagram, so that it fits on a phone.

    A flowchart from left to right is also drawn from top to bottom, and the narrower
    drawing is kept.

    Args:
        diagram: The text of the Mermaid block.
        picture: The file to write.

    Raises:
        CalledProcessError: Mermaid couldn't draw it, and has printed why.
    """
    turned = re.sub(r"^(\s*(?:flowchart|graph)) LR", r"\1 TB", diagram)
    drawings = map(svg, dict.fromkeys((turned, diagram)))
    picture.write_text(min(drawings, key=width), encoding="utf-8")


def svg(diagram: str) -> str:
    """Let mermaid-cli draw a diagram as SVG.

    Args:
        diagram: The text of the Mermaid block.

    Returns:
        The text of the drawing.

    Raises:
        CalledProcessError: Mermaid couldn't draw it, and has printed why.
    """
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    # The browser's sandbox doesn't work everywhere, and the diagrams are our own.
    puppeteer = {"executablePath": browser, "args": ["--no-sandbox"]}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "puppeteer.json").write_text(json.dumps(puppeteer))
        (scratch / "diagram.mmd").write_text(diagram, encoding="utf-8")
        command = [shutil.which("npx") or "npx", "--yes", MERMAID, "--quiet"]
        command += ["-p", "puppeteer.json", "-c", str(SETTINGS), "-b", "transparent"]
        command += ["-i", "diagram.mmd", "-o", "diagram.svg"]
        # Puppeteer would download a browser of its own.
        env = {**os.environ, "PUPPETEER_SKIP_DOWNLOAD": "1"}
        subprocess.run(command, cwd=scratch, env=env, check=True)
        return (scratch / "diagram.svg").read_text(encoding="utf-8")


def width(drawing: str) -> float:
    """Return the width of a drawing, in pixels.

    Args:
        drawing: The text of the SVG.
    """
    return float(drawing.split(' width="', 1)[1].split('"', 1)[0])


def main() -> None:
    """Draw the pictures that are missing, and remove those that no page shows."""
    unused = set(FOLDER.glob("*.svg"))
    pages = [page for pattern in building.PAGES for page in ROOT.glob(pattern)]
    for page in pages:
        for diagram in BLOCK.findall(page.read_text(encoding="utf-8")):
            path = picture(diagram)
            unused.discard(path)
            if not path.exists():
                print(f"{page.relative_to(ROOT)}: drawing {path.name}")
                draw(diagram, path)
    for path in unused:
        path.unlink()
        print(f"Removed {path.name}, which isn't on any page.")


if __name__ == "__main__":
    main()
