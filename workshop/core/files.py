"""Files that are never half written."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, content: bytes, scratch: Path | None = None) -> None:
    """Write a file so that readers see either the old content or the new.

    That holds even if this process is killed meanwhile.

    Args:
        path: The file.
        content: What it gets.
        scratch: The folder in which the new file grows, on the same disk; by default
            the folder of the file. A kill may leave a part of it there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = (scratch or path.parent) / f"{path.name}.{os.getpid()}"
    part.write_bytes(content)
    part.replace(path)
