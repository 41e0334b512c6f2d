"""Files that are never half written, and folders that can be written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes, scratch: Path | None = None) -> None:
    """Write a file so that readers see either the old content or the new.

    That holds even if this process is killed meanwhile.

    Args:
        path: The file.
        content: What it gets.
        scratch: The folder in which the new file grows, on the same disk; by default
            the folder of the file. A kill may leave a part of it there.

    Raises:
        OSError: The file couldn't be written, for example because the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = (scratch or path.parent) / f"{path.name}.{os.getpid()}"
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        with suppress(OSError):  # the folder may be what can't be written
            part.unlink()
        raise


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a new folder, by their paths in it."""
    folder.mkdir(parents=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def require_writable(folder: Path) -> None:
    """Make a folder if there is none, and try to write a file there.

    Raises:
        OSError: That is impossible. It names the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(bytes(2**16))  # a full disk may have room for a few bytes
    except OSError as error:  # which names a file that nobody knows
        raise OSError(error.errno, error.strerror, str(folder)) from None
