"""The rooms of the runner: each imports core and itself, and core imports no room."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from tests.workshop.conftest import ROOT

ROOMS = {"core", "learner", "instructor", "site"}


def imported(path: Path) -> set[str]:
    """Return the modules of the workshop that a module imports anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {".".join(name.split(".")[:3]) for name in names if "workshop." in name}


def test_rooms() -> None:
    """Only cli.py knows all rooms, and no module imports itself by a detour."""
    graph = {}
    for path in (ROOT / "workshop").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        graph[name] = imported(path)
    assert len(graph) > 20
    # The environment starts cli.py, once the packages are there.
    graph["workshop.core.environment"].remove("workshop.cli.main")
    for name, modules in graph.items():
        room = name.split(".")[1]
        others = {module.split(".")[1] for module in modules} - {"core", room}
        assert room not in ROOMS or not others, f"{name} imports {others}"
    tuple(TopologicalSorter(graph).static_order())
