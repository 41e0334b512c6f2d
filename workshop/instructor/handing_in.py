"""Copies on their way to the instructor: `handin` packs one, `grade` opens it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, is_zipfile

from workshop.core.apps import app_files
from workshop.core.errors import WorkshopError
from workshop.core.files import write_whole
from workshop.core.steps import FOLDER_NAME, Repository


def pack(repository: Repository, name: str) -> Path:
    """Pack the steps of a workshop into a zip file, without what running them made.

    Args:
        repository: The attendee's copy of the workshop. The zip file goes into its
            root, and replaces an earlier one of the same name.
        name: The attendee's name, which becomes the name of the file.

    Returns:
        The zip file.

    Raises:
        WorkshopError: There is no name.
    """
    stem = re.sub(r"[^\w .-]", "_", name).strip(" ._")
    if not stem:
        raise WorkshopError("The zip file needs your name: handin Ada Lovelace")
    target = repository.root / f"{stem}.zip"
    packed = io.BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as file:
        for path, source in app_files(repository.root / "steps").items():
            file.writestr(f"steps/{path}", source.read_bytes())
    write_whole(target, packed.getvalue())
    return target


def copies_in(path: Path) -> list[Path]:
    """Return the copies at a path: those in it, if it is a folder of copies.

    Args:
        path: A folder or a file.

    Returns:
        What the folder holds, if there is a zip file or more than one copy in it, or
        else the path alone.
    """
    if not path.is_dir() or has_steps(path) or has_steps(path / "steps"):
        return [path]
    inside = sorted(path.glob("[!._]*"))
    deeper = [one for one in inside if has_steps(one) or has_steps(one / "steps")]
    packed = [one for one in inside if one.suffix.lower() == ".zip"]
    return inside if packed or len(deeper) > 1 else [path]


def has_steps(folder: Path) -> bool:
    """Return whether a folder holds the folder of a step."""
    return any(FOLDER_NAME.fullmatch(path.name) for path in folder.glob("*/"))


def steps_of(copy: Path, unpacked: Path) -> Path:
    """Find the steps in a copy: in it, in its folder `steps`, or one level deeper.

    Args:
        copy: A folder, or a zip file.
        unpacked: A folder to be made, which a zip file is unpacked to.

    Returns:
        The folder that holds a folder for each step.

    Raises:
        WorkshopError: There are no steps, or those of several copies, or a file that
            isn't a zip file.
        BadZipFile: The zip file is damaged.
        OSError: Something in the copy can't be read.
    """
    if copy.is_file():
        if not is_zipfile(copy):
            raise WorkshopError("It isn't a zip file, or the zip file is damaged.")
        with ZipFile(copy) as file:
            file.extractall(unpacked)
        copy = unpacked
    # Only folders named steps: tests/ and solutions/ hold folders of the same names.
    deeper = [path / "steps" for path in sorted(copy.glob("[!._]*"))]
    for places in ([copy / "steps"], [copy], deeper):
        found = [place for place in places if has_steps(place)]
        if len(found) > 1:
            raise WorkshopError("It holds several copies, so name each of them.")
        if found:
            return found[0]
    raise WorkshopError("It doesn't have a folder steps with the steps in it.")
