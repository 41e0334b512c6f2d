"""Provides the packages that the workshop needs, then starts the runner.

If the running Python has every pinned package, it is used. Otherwise `.venv` in the
repository is used, and made or updated first. This needs the standard library alone.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

from workshop.core import processes
from workshop.core.errors import WorkshopError

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements.txt"
"""The packages that every command needs."""
ALL_REQUIREMENTS = ROOT / "requirements-all.txt"
"""The same packages, and those that only the commands in `NEED_ALL` need."""
NEED_ALL = {"verify", "site"}
VENV = ROOT / ".venv"
STAMP = VENV / "workshop-installed"
"""Has Python's version and the installed requirements, and is written last."""
STATE = ROOT / ".workshop"
"""The folder for everything that the runner writes, such as results and logs."""
LOG = STATE / "install.log"

USAGE_ERROR = 2
INTERRUPTED = 130
"""The exit status after Ctrl+C, as shells have it (128 + SIGINT)."""

FOREIGN = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "PYTHONOPTIMIZE", "PYTHONWARNINGS"),
    *("PYTEST_ADDOPTS", "PYTEST_PLUGINS"),
)
"""Variables that somebody has set for other projects, and that would change ours."""
PIP_SETTINGS = (
    *("CONFIG_FILE", "INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX"),
    *("TRUSTED_HOST", "PROXY", "CERT", "CLIENT_CERT", "KEYRING_PROVIDER"),
    *("USE_FEATURE", "CACHE_DIR", "NO_CACHE_DIR", "TIMEOUT", "DEFAULT_TIMEOUT"),
    "RETRIES",
)
"""The variables of pip (PIP_...) that count: from where to download, and how. Others
may say where to install or whether to do it at all, which would leave `.venv` empty."""

DOWNLOAD = "python3 -m pip download -r requirements.txt -d DIR"
"""Fills a folder with wheels."""
OFFLINE = (
    "Or ask your instructor for a folder of wheels and add --wheelhouse DIR to the "
    "command.\n(Such a folder is made online by: {download})"
)
TROUBLES = {
    r"No space left on device|Disk quota exceeded|not enough space on the disk": (
        "The disk is full. Make room, and type the command again. (To install the "
        "packages takes about 200 MB.)"
    ),
    r"(?:Permission denied|not permitted|Read-only file system|Access is denied): "
    r"(?P<quote>['\"])(?P<path>.+?)(?P=quote)": (
        "{path} can't be used. Does it belong to another user, because a command was "
        'run with sudo?\nTo make the workshop yours: sudo chown -R "$USER" "{root}"\n'
        "Or copy it into a folder of your own, and type the command again there."
    ),
    r"(?:File exists|Not a directory): (?P<quote>['\"])(?P<path>.+?)(?P=quote)": (
        "{path} isn't a folder, but the workshop needs one there. Rename it."
    ),
    r"contains the PATH separator": (
        "Python can't make a virtual environment in {root}, because the path contains "
        "a colon.\nRename the folder or move it, and type the command again."
    ),
    r"SSLCertVerificationError|CERTIFICATE_VERIFY_FAILED": (
        "The certificate of the package index isn't trusted. Perhaps your network "
        "inspects what is encrypted, or the clock of this machine is wrong.\n"
        "Ask for the file of certificates (PEM) that your network uses, set the "
        "variable PIP_CERT to its path, and type the command again.\n" + OFFLINE
    ),
    r"Retrying \(|ProxyError|NewConnectionError|Temporary failure in name|getaddrinfo"
    r"|NameResolutionError|Network is unreachable|Read timed out": (
        "The package index can't be reached. Connect to the network (and if you use a "
        "proxy, correct HTTPS_PROXY or pip.conf),\nand type the command again.\n"
        + OFFLINE
    ),
    r"No matching distribution found for (?P<package>\S+)": (
        "pip found no {package} for Python {python} on this system.\nIf you have a "
        "folder of wheels, make it on the same system with the same Python: {download}"
    ),
}
"""What errors of the system, of venv and of pip mean. The first match counts."""


def main(arguments: Sequence[str]) -> int:
    """Provide the packages, then run a command line.

    Args:
        arguments: The command line without the program's name. `--wheelhouse DIR`,
            anywhere in it, names a folder of wheels to install from, offline.

    Returns:
        The exit status.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl+C. It may say what comes next.
    """
    print_anything()
    try:
        if [name for name in FOREIGN if os.environ.pop(name, None)]:
            return start_over(sys.executable, arguments)
        wheelhouse, words = split_wheelhouse(arguments)
        requirements = ALL_REQUIREMENTS if set(words[:1]) & NEED_ALL else REQUIREMENTS
        inside = VENV.exists() and VENV.samefile(sys.prefix)
        ready = inside and is_complete(requirements)
        if not ready and missing_packages(requirements):
            make_environment(requirements, wheelhouse)
            return start_over(str(python_of(VENV)), words)
        return run(words)
    except WorkshopError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    except OSError as error:
        if not (text := explained(str(error))):
            raise
        print(text, file=sys.stderr)
        return USAGE_ERROR


def print_anything() -> None:
    """Have "?" printed for characters that the terminal lacks, instead of an error.

    That goes for the programs that we start as well.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    encoding = os.environ.get("PYTHONIOENCODING", "").partition(":")[0]
    os.environ["PYTHONIOENCODING"] = f"{encoding}:replace"


def start_over(python: str, arguments: Sequence[str]) -> int:
    """Turn this process into another Python that runs the same command line."""
    return processes.replace([python, str(ROOT / "workshop"), *arguments])


def run(arguments: Sequence[str]) -> int:
    """Run a command line, now that the packages are there; return the exit status."""
    try:
        from workshop.cli import main
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("workshop"):
            raise
        raise damaged(f"there is no module named {error.name}") from None
    return main(arguments)


def damaged(reason: str) -> WorkshopError:
    """Have the packages installed again next time, and return what to tell the user."""
    STAMP.unlink(missing_ok=True)
    return WorkshopError(
        f"The installed packages are damaged: {reason}.\n"
        "Type the command again, beginning with python3, to install them again."
    )


def split_wheelhouse(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Take `--wheelhouse DIR` or `--wheelhouse=DIR` out of a command line.

    Returns:
        The folder, or None if there is no such option, and the other arguments.

    Raises:
        WorkshopError: The folder doesn't exist.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--wheelhouse", nargs="?", const="")
    option, others = parser.parse_known_args(arguments)
    if option.wheelhouse is None:
        return None, others
    folder = Path(option.wheelhouse).resolve()
    if not option.wheelhouse or not folder.is_dir():
        raise WorkshopError(
            "--wheelhouse needs a folder of wheels, and there is no folder "
            f"'{option.wheelhouse}'.\nTo make one, online: {DOWNLOAD}"
        )
    return folder, others


def missing_packages(requirements: Path) -> list[str]:
    """Return a phrase for each requirement that the running Python doesn't meet."""
    try:
        # It evaluates markers such as "; sys_platform == 'win32'". It comes with
        # pytest, so if it is missing, then so is pytest.
        from packaging.requirements import Requirement
    except ImportError:
        return ["packaging isn't installed"]
    missing = []
    for requirement in map(Requirement, requirement_lines(requirements)):
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(f"{requirement.name} isn't installed")
            continue
        if version not in requirement.specifier:
            wanted = str(requirement.specifier).removeprefix("==")
            missing.append(f"{requirement.name} is {version}, not {wanted}")
    return missing


def requirement_lines(requirements: Path) -> list[str]:
    """Return the lines of a file of requirements that name a package."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and line.strip()[0] != "#"]


def python_of(venv: Path) -> Path:
    """Return the path of a virtual environment's Python."""
    return venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def is_complete(requirements: Path) -> bool:
    """Return whether `.venv` has this version of Python and all the requirements."""
    return {platform.python_version(), *requirement_lines(requirements)} <= installed()


def installed() -> set[str]:
    """Return the lines of the stamp; none if `.venv` isn't whole."""
    whole = all(map(Path.exists, (python_of(VENV), VENV / "pyvenv.cfg", STAMP)))
    return set(STAMP.read_text("utf-8").splitlines()) if whole else set()


def make_environment(requirements: Path, wheelhouse: Path | None) -> None:
    """Make `.venv`, or add what it lacks. One command does so at a time.

    Args:
        requirements: The file of requirements to install.
        wheelhouse: A folder of wheels to install from, offline; None for the index.

    Raises:
        WorkshopError: It failed, and the next command starts it over.
        KeyboardInterrupt: The user pressed Ctrl+C. The next command starts it over.
    """
    if is_complete(requirements):
        return
    STATE.mkdir(exist_ok=True)
    say("The packages have to be installed first, into .venv. This takes a minute.")
    try:
        with one_at_a_time(), processes.interrupted_by_termination():
            if is_complete(requirements):  # another command has just made it
                return
            known = installed()
            STAMP.unlink(missing_ok=True)
            if platform.python_version() not in known:
                make_empty_environment()
            install(requirements, wheelhouse)
            lines = [platform.python_version(), *requirement_lines(requirements)]
            STAMP.write_text("\n".join(lines), "utf-8")
            say("The packages are installed.")
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "The next command starts the installation over."
        ) from None


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other command installs packages, and let others wait for us.

    The system drops the lock when its owner dies, so it is never left behind.
    """
    with (STATE / "install.lock").open("w") as file:
        if sys.platform == "win32":
            import msvcrt

            def lock() -> None:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            def lock() -> None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

        waiting = False
        while True:
            with suppress(BlockingIOError, PermissionError):  # another one has it
                lock()
                break
            if not waiting:
                say("Another terminal is installing them, so this waits for it.")
            waiting = True
            time.sleep(0.1)
        yield


def make_empty_environment() -> None:
    """Make `.venv` with nothing but pip in it."""
    advice = (
        "On Debian and Ubuntu, type this first: sudo apt install python3-venv "
        f"(or python3.{sys.version_info.minor}-venv)"
    )
    # sys.executable may lie in the .venv that is about to be removed.
    python = getattr(sys, "_base_executable", sys.executable)
    output, error = run_shown([python, "-m", "venv", "--clear", str(VENV)], os.environ)
    if error:
        raise WorkshopError(
            explained(output) or f"Making .venv failed: {error}\n{advice}"
        )


def install(requirements: Path, wheelhouse: Path | None) -> None:
    """Run the pip of `.venv`, with none of the user's variables but `PIP_SETTINGS`."""
    settings = {f"PIP_{name}" for name in PIP_SETTINGS}
    env = {k: v for k, v in os.environ.items() if k[:4] != "PIP_" or k in settings}
    env["PIP_USER"] = "0"  # whatever pip.conf says
    if env.get("PIP_CERT"):  # pip itself prefers these two
        env |= {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": ""}
    command = [str(python_of(VENV)), "-I", "-X", "utf8", "-m", "pip", "install"]
    command += ["--no-input", "--progress-bar=off"]
    if wheelhouse:
        command += ["--no-index", "--find-links", str(wheelhouse)]
    output, error = run_shown([*command, "-r", str(requirements)], env)
    if error:
        raise WorkshopError(explained(output) or f"Installing failed: {error}")


def explained(output: str) -> str:
    """Return what an error means and what to do; "" if that isn't known."""
    for pattern, text in TROUBLES.items():
        if found := re.search(pattern, output):
            words = found.groupdict()
            # When Python removes a folder, its errors have only the file's own name.
            words |= {"path": str(VENV / words.get("path", ""))}
            words |= {"python": platform.python_version(), "root": str(ROOT)}
            return text.format(**words, download=DOWNLOAD)
    return ""


def run_shown(command: Sequence[str], env: Mapping[str, str]) -> tuple[str, str]:
    """Run a program of the installation, and show which package it has reached.

    Returns:
        Its output, and if it failed, its last line and where the rest is, else "".

    Raises:
        KeyboardInterrupt: The user pressed Ctrl+C. The program has ended.
    """
    output = ""
    with subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                output += line
                if line.startswith(("Collecting", "Processing", "Installing")):
                    say(line.split(" (from ")[0].strip())
                if line.startswith("Installing collected"):
                    say("Unpacking them takes a while, and pip is silent meanwhile.")
        except BaseException:
            process.terminate()
            raise
    if process.returncode == 0:
        return output, ""
    LOG.write_text(output, "utf-8")
    *_, last = ["no output", *output.split("\n")[:-1]]
    return output, f"{last}\nThe whole output is in {LOG}."


def say(text: str) -> None:
    """Tell the user about the installation, on standard error."""
    print(text, file=sys.stderr, flush=True)
