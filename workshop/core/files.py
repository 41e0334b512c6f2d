"""Files that are old or new, and never half of either; folders that go away."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

SHALLOW = 12
"""Levels of folders whose path no system finds too long."""


def write_whole(path: Path, content: bytes, scratch: Path | None = None) -> None:
    """Write a file so that whoever reads it sees the old content or the new, whole.

    That holds too when this process is killed in the middle of it.

    Takes: ``scratch``, the folder in which the new file grows, on the same disk; by
    default that of the file itself. A kill may leave a part there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = (scratch or path.parent) / f"{path.name}.{os.getpid()}"
    part.write_bytes(content)
    part.replace(path)


def flatten(folder: Path) -> None:
    """Bring up the folders that lie too deep for shutil.rmtree to remove them.

    At about a thousand levels it gives up: RecursionError, or too many open files.
    """
    roots = [folder]
    while roots:
        root = roots.pop()
        for where, names, _ in os.walk(root):
            if len(Path(where).relative_to(root).parts) < SHALLOW:
                continue
            for path in (Path(where, name) for name in names):
                if not path.is_symlink():
                    target = folder / uuid4().hex
                    with suppress(OSError):
                        path.rename(target)
                        roots.append(target)
            names.clear()
