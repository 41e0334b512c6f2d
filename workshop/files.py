"""Files that are old or new, and never half of either."""

from __future__ import annotations

import os
from pathlib import Path


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
