"""Provides the Python packages the workshop needs, then starts the runner.

In order: the running Python when it has every pinned package; the repository's
``.venv`` when it is complete; else ``.venv`` is made first. Standard library alone.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import util
from pathlib import Path

from workshop.core import processes
from workshop.core.errors import WorkshopError

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements.txt"
"""What every command needs."""
ALL_REQUIREMENTS = ROOT / "requirements-all.txt"
"""The same, and what `verify` and `site` need besides."""
NEED_ALL = ("verify", "site")
VENV = ROOT / ".venv"
STATE = ROOT / ".workshop"
"""Where the runner keeps what it writes: results, logs, the demo's data."""
LOG = STATE / "install.log"

USAGE_ERROR = 2
INTERRUPTED = 130
"""Exit status of a command that Ctrl+C ended, as shells have it (128 + SIGINT)."""

NETWORK_TROUBLE = re.compile(
    r"Retrying \(|NewConnectionError|NameResolutionError|Temporary failure in name"
    r"|getaddrinfo failed|Network is unreachable|Read timed out|ProxyError"
)
NO_SUCH_WHEEL = re.compile(r"No matching distribution found for (\S+)")
DISK_FULL = re.compile(r"No space left on device|not enough space on the disk")


def main(arguments: Sequence[str]) -> int:
    """Provide the packages, then carry out the command line.

    Takes: ``arguments``, the command line after the program's name. ``--wheelhouse
    DIR``, anywhere in it, is for here: a folder of wheels to install from, offline.
    Returns: the exit status.
    """
    try:
        wheelhouse, arguments = split_wheelhouse(arguments)
        choose_requirements(arguments)
        inside = VENV.exists() and VENV.samefile(sys.prefix)
        if not (inside and is_complete(VENV)) and missing_packages():
            make_environment(wheelhouse)
            program = str(ROOT / "workshop")
            return processes.replace([str(python_of(VENV)), program, *arguments])
        try:
            from workshop.cli import main as run
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("workshop"):
                raise
            stamp().unlink(missing_ok=True)
            raise WorkshopError(
                f"An installed package is broken (no module named {error.name}).\n"
                "Type the command again: that installs the packages anew."
            ) from None
        return run(arguments)
    except WorkshopError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


def choose_requirements(arguments: Sequence[str]) -> None:
    """Choose what has to be installed for a command line."""
    global REQUIREMENTS
    if set(arguments[:1]) & set(NEED_ALL):
        REQUIREMENTS = ALL_REQUIREMENTS


def stamp() -> Path:
    """Return the file that is written last: without it, an environment is half made."""
    return VENV / f"workshop-{REQUIREMENTS.stem}"


def split_wheelhouse(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Take ``--wheelhouse DIR`` (or ``--wheelhouse=DIR``) out of a command line.

    Returns: the folder, or None where it is not named; and the other arguments.
    Raises: WorkshopError when the folder is missing, from the line or from the disk.
    """
    folder: str | None = None
    others = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--wheelhouse":
            folder = next(rest, "")
        elif argument.startswith("--wheelhouse="):
            folder = argument.partition("=")[2]
        else:
            others.append(argument)
    if folder is None:
        return None, others
    if not folder or not Path(folder).is_dir():
        raise WorkshopError(
            f"--wheelhouse needs a folder of wheels, and '{folder}' is no folder.\n"
            f"To make one, online: {how_to_make_wheelhouse()}"
        )
    return Path(folder).resolve(), others


def how_to_make_wheelhouse() -> str:
    """Return the command with which an instructor makes a wheelhouse."""
    return "python3 -m pip download -r requirements.txt -d DIR"


def missing_packages() -> list[str]:
    """Compare the running Python's packages with requirements.txt.

    Returns: a phrase for each that is missing or of another version; empty when all
    are there.
    """
    try:
        # It reads the environment markers ("; sys_platform == 'win32'"). pytest needs
        # it: where it is missing, so is pytest.
        from packaging.requirements import Requirement
    except ImportError:
        return ["packaging is not installed"]
    from importlib import metadata  # Here, for it takes 20 ms that are seldom needed.

    missing = []
    for line in requirement_lines():
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(f"{requirement.name} is not installed")
            continue
        if version not in requirement.specifier:
            wanted = str(requirement.specifier).removeprefix("==")
            missing.append(f"{requirement.name} is {version}, not {wanted}")
    return missing


def requirement_lines(file: Path | None = None) -> list[str]:
    """Return the lines of a requirements file that name a package."""
    lines = (file or REQUIREMENTS).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and line.strip()[0] != "#"]


def python_of(venv: Path) -> Path:
    """Return the path of a virtual environment's Python."""
    if sys.platform == "win32":
        return venv / "Scripts" / "python.exe"
    return venv / "bin" / "python"


def stamp_text() -> str:
    """Return what a complete environment's stamp says: what it was made from."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    return f"{platform.python_version()} {digest}\n"


def is_complete(venv: Path) -> bool:
    """Tell whether ``venv`` was made to the end, from today's requirements."""
    try:
        return python_of(venv).exists() and stamp().read_text() == stamp_text()
    except OSError:
        return False


def make_environment(wheelhouse: Path | None) -> None:
    """Make ``.venv``, unless it is complete; one command at a time.

    Takes: ``wheelhouse``, a folder of wheels to install from, or None for PyPI.
    Raises: WorkshopError when that fails; KeyboardInterrupt at Ctrl+C. Either way the
    next run begins again.
    """
    if is_complete(VENV):
        return
    try:
        STATE.mkdir(exist_ok=True)
        with alone(), processes.interrupted_by_termination():
            if not is_complete(VENV):  # Another command may just have made it.
                build(wheelhouse)
    except KeyboardInterrupt:
        say("Stopped. The next run begins the installation again.")
        raise
    except PermissionError as error:
        raise WorkshopError(
            f"Cannot write to {error.filename or ROOT}.\n"
            "Clone or copy the workshop into a folder of your own, and start it there."
        ) from None
    except OSError as error:
        raise WorkshopError(f"Cannot make {VENV}: {error}") from None


@contextmanager
def alone() -> Iterator[None]:
    """Within it, no other process of this repository installs.

    The lock belongs to the open file: the system drops it when its owner dies, so none
    is ever left behind.
    """
    with (STATE / "install.lock").open("w") as file:
        if not try_lock(file.fileno()):
            say("Another command is installing the packages; waiting for it.")
            while not try_lock(file.fileno()):
                time.sleep(0.2)
        yield


def try_lock(descriptor: int) -> bool:
    """Lock an open file, if no other process has; return whether that was done."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def build(wheelhouse: Path | None) -> None:
    """Make ``.venv`` and install the requirements; the stamp comes last.

    An environment of this Python, once complete, is only brought up to date.
    """
    began = time.monotonic()
    made_by = [path.read_text().split()[0] for path in VENV.glob("workshop-*")]
    stamp().unlink(missing_ok=True)
    if platform.python_version() not in made_by or not python_of(VENV).exists():
        make_empty_environment()
    count = install(wheelhouse)
    stamp().write_text(stamp_text())
    seconds = time.monotonic() - began
    say(f"Installed {count} packages into .venv in {seconds:.0f} s.")


def make_empty_environment() -> None:
    """Make ``.venv`` with pip in it; what was there is removed."""
    missing = [name for name in ("venv", "ensurepip") if util.find_spec(name) is None]
    if missing:
        raise WorkshopError(
            f"This Python cannot make a virtual environment: it has no module "
            f"{missing[0]}.\nInstall it and type the command again; on Debian and "
            f"Ubuntu: sudo apt install python3-venv (or {package_of_venv()})"
        )
    say(f"Making .venv with Python {platform.python_version()}.")
    if VENV.exists():
        shutil.rmtree(VENV)
    # Not sys.executable, which may lie in the .venv that was just removed.
    python = getattr(sys, "_base_executable", sys.executable)
    status, output = run_logged([python, "-m", "venv", str(VENV)])
    if status != 0:
        reason = DISK_FULL.search(output)
        raise WorkshopError(
            f"Making .venv failed{': the disk is full' if reason else ''}. "
            f"What Python said is in {LOG}.\n"
            f"On Debian and Ubuntu, this often helps: sudo apt install "
            f"python3-venv (or {package_of_venv()})"
        )


def package_of_venv() -> str:
    """Return the Debian package that has venv and ensurepip for this Python."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}-venv"


def install(wheelhouse: Path | None) -> int:
    """Install requirements.txt into ``.venv``, telling which package is at hand.

    Returns: the number of packages. Raises: WorkshopError when pip fails.
    """
    command = [str(python_of(VENV)), "-I", "-m", "pip", "install", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off"]
    if wheelhouse:
        command += ["--no-index", "--find-links", str(wheelhouse)]
    command += ["-r", str(REQUIREMENTS)]
    progress = Progress(len(requirement_lines()))
    try:
        status, output = run_logged(command, progress.pip_said)
    finally:
        progress.end()
    if status != 0:
        raise WorkshopError(why_pip_failed(output, wheelhouse))
    return progress.total


def why_pip_failed(output: str, wheelhouse: Path | None) -> str:
    """Turn pip's output into what is wrong and what to do."""
    if DISK_FULL.search(output):
        return "The disk is full. Free about 200 MB and type the command again."
    no_wheel = NO_SUCH_WHEEL.search(output)
    if wheelhouse and no_wheel:
        return (
            f"{wheelhouse} has no wheel of {no_wheel[1]} for Python "
            f"{platform.python_version()} on this system.\nMake the folder with the "
            f"same system and Python, online: {how_to_make_wheelhouse()}"
        )
    if NETWORK_TROUBLE.search(output):
        return (
            "The package index cannot be reached. Connect and type the command again, "
            "or get a folder of wheels\nfrom your instructor and add --wheelhouse DIR "
            f"(made online by: {how_to_make_wheelhouse()})."
        )
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    reason = errors[-1].removeprefix("ERROR: ") if errors else "pip gave no reason"
    return f"Installing the packages failed: {reason}\nAll that pip said is in {LOG}."


class Progress:
    """One line on a terminal, one line for each package elsewhere."""

    def __init__(self, total: int) -> None:
        """Takes: ``total``, the number of packages that are to be installed."""
        self.total = total
        self.done = 0
        self._redraws = sys.stderr.isatty()

    def end(self) -> None:
        """Leave the terminal's line free for what follows."""
        if self._redraws:
            print(f"\r{'':79}\r", end="", file=sys.stderr, flush=True)

    def pip_said(self, line: str) -> None:
        """Show how far pip is, from one line of its output."""
        first, _, rest = line.strip().partition(" ")
        if first == "Ignoring":  # A package of other systems.
            self.total -= 1
        elif first in ("Collecting", "Processing", "Requirement"):
            self.done += 1
            name = rest.removeprefix("already satisfied: ").split(" (from")[0]
            if name.endswith(".whl"):
                name = "==".join(Path(name).name.split("-")[:2])
            self._show(f"[{self.done:>2}/{self.total}] {name}")
        elif line.startswith("Installing collected packages"):
            self._show(f"[{self.total}/{self.total}] unpacking")

    def _show(self, text: str) -> None:
        if self._redraws:
            print(f"\r{text:79.79}", end="", file=sys.stderr, flush=True)
        else:
            say(text)


def run_logged(
    command: Sequence[str], on_line: Callable[[str], None] = lambda line: None
) -> tuple[int, str]:
    """Run a command; each line of its output goes to the log and to ``on_line``.

    Returns: its exit status and its output.
    Raises: KeyboardInterrupt at Ctrl+C, once the command has ended.
    """
    lines = []
    with LOG.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                log.write(line)
                lines.append(line)
                on_line(line)
            return process.wait(), "".join(lines)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise


def say(text: str) -> None:
    """Tell the user how it goes; on standard error, as it is no command's result."""
    print(text, file=sys.stderr, flush=True)
