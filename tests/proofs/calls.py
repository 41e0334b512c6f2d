"""Runs Python lines as calls of the app in the current folder.

This needs a process of its own, because each app has packages of the same names:
    python calls.py FILE...

The files share their names. `await` may be outside of any function.
"""

import ast
import asyncio
import inspect
import sys
from pathlib import Path
from typing import Any


async def run(paths: list[str]) -> None:
    """Run the files one after the other."""
    names: dict[str, Any] = {}
    for path in paths:
        source = Path(path).read_text(encoding="utf-8")
        code = compile(source, path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)
        if inspect.isawaitable(result):
            await result


if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())
    asyncio.run(run(sys.argv[1:]))
