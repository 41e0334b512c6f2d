"""The rooms of the runner: each imports core and itself, and core imports no room."""

from __future__ import annotations

import re

from tests.workshop.conftest import ROOT

IMPORT = re.compile(r"^\s*from workshop(?:\.| import )(\w+)", re.MULTILINE)


def test_rooms() -> None:
    """Only cli.py knows all rooms."""
    for path in (ROOT / "workshop").glob("*/*.py"):
        room = path.parent.name
        others = set(IMPORT.findall(path.read_text("utf-8"))) - {"core", room}
        if path.name == "environment.py":  # It starts cli.py, once it has the packages.
            others.remove("cli")
        assert not others, f"{path} imports {others}"
