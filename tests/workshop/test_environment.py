"""How the packages are provided, on all kinds of machines, and what fails in words."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.workshop.conftest import LIMIT, ROOT, write
from workshop.core import environment

CLI = """
import sys, tiny
def main(words):
    print(sys.prefix, *words)
    assert not sys.flags.optimize
    return 7 if words else 0
"""
posix = pytest.mark.skipif(os.name != "posix", reason="only POSIX has it")
NO_INDEX = {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "1"}


def make_wheel(folder: Path, name: str) -> None:
    """Make a wheel of an empty package, version 1.0."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", f"Name: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


class Bare:
    """A workshop of which only the core is real, and a Python without packages."""

    def __init__(self, folder: Path, python: Path) -> None:
        self.root = folder / "br[ack]et é"
        self.python = python
        self.wheels = folder / "wheels"
        self.venv = self.root / ".venv"
        self.command = [python, self.root / "workshop"]

    def lay_out(self) -> None:
        """Copy the core, and write one requirement and a command line."""
        make_wheel(self.wheels, "tiny")
        shutil.copytree(ROOT / "workshop/core", self.root / "workshop/core")
        for name in ("__init__", "__main__"):
            shutil.copy(ROOT / f"workshop/{name}.py", self.root / "workshop")
        write(self.root / "workshop/cli.py", CLI)
        self.require("tiny==1.0")

    def require(self, *lines: str, file: str = "requirements") -> None:
        """Write a file of requirements."""
        write(self.root / f"{file}.txt", "\n".join(["# why", *lines]))

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command line, from another folder and with a wheelhouse."""
        if "PIP_CONFIG_FILE" not in env:
            words = ("--wheelhouse", str(self.wheels), *words)
        return subprocess.run(
            [*self.command, *words],
            cwd=self.root.parent,
            env={k: v for k, v in os.environ.items() if k[:4] != "PIP_"} | env,
            capture_output=True,
            encoding="utf-8",
            timeout=LIMIT,
            preexec_fn=be_an_ordinary_user if os.name == "posix" else None,
        )

    def fail(self, *words: str, **env: str) -> str:
        """Run a command line that must fail in words; return its last words."""
        done = self.run(*words, **env)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert "Traceback" not in done.stderr
        progress = (
            "The packages",
            "Collecting",
            "Processing",
            "Installing c",
            "Unpack",
        )
        lines = done.stderr.splitlines()
        return "\n".join(line for line in lines if not line.startswith(progress))


class Made(NamedTuple):
    """A workshop whose packages two commands have installed."""

    bare: Bare
    statuses: list[int]
    said: list[tuple[str, str]]
    """The output and the errors of each of the two."""


def be_an_ordinary_user() -> None:
    """Have root, too, obey the modes of files: drop CAP_DAC_OVERRIDE on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(24, 1)


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without any package."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", folder], check=True)
    return environment.python_of(folder)


@pytest.fixture
def bare(tmp_path: Path, python: Path) -> Bare:
    """A workshop before its first command."""
    bare = Bare(tmp_path, python)
    bare.lay_out()
    return bare


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, python: Path) -> Made:
    """A workshop whose packages two commands have installed at once, to be copied."""
    bare = Bare(tmp_path_factory.mktemp("made"), python)
    bare.lay_out()
    write(bare.venv / "bin/python", "not a program")
    write(bare.venv / "rest", "")
    command = [*bare.command, f"--wheelhouse={bare.wheels}", "check"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    said = [process.communicate(timeout=LIMIT) for process in both]
    return Made(bare, [process.returncode for process in both], said)


@pytest.fixture
def made(tmp_path: Path, made_once: Made, python: Path) -> Bare:
    """A workshop whose packages are installed."""
    folder = tmp_path / "made"
    shutil.copytree(made_once.bare.wheels.parent, folder, symlinks=True)
    return Bare(folder, python)


def test_installs_once(made_once: Made) -> None:
    """Of two commands at once, one installs, and the other waits. The next is quiet.

    What an interrupted command left behind is replaced.
    """
    bare = made_once.bare
    assert made_once.statuses == [7, 7], made_once.said
    assert {output for output, _ in made_once.said} == {f"{bare.venv} check\n"}
    [errors] = [errors for _, errors in made_once.said if "are installed" in errors]
    assert "tiny" in errors
    assert errors.endswith("The packages are installed.\n")
    waiting = "Another terminal is installing them, so this waits for it.\n"
    assert sum(errors.count(waiting) for _, errors in made_once.said) == 1
    assert not (bare.venv / "rest").exists()
    later = bare.run("check", "2")
    assert (later.stdout, later.stderr) == (f"{bare.venv} check 2\n", "")


def test_settings_of_other_projects(bare: Bare) -> None:
    """What they say about Python, or about where to install, doesn't matter."""
    write(bare.root.parent / "old/tiny.py", "raise SystemExit('the wrong one')")
    write(bare.root.parent / ".pip/pip.conf", "[install]\nuser = true\n")
    env = {
        **{"PIP_TARGET": str(bare.root / "there"), "PIP_PREFIX": "/no"},
        **{"PIP_DRY_RUN": "1", "PIP_REQUIREMENT": "/no", "PIP_PYTHON": "/no"},
        **{"PIP_QUIET": "3", "PIP_ROOT": "/no", "PIP_NO_BINARY": ":all:"},
        **{"PYTHONPATH": str(bare.root.parent / "old"), "PYTHONSAFEPATH": "1"},
        **{"PYTHONHOME": sys.base_prefix, "PYTHONOPTIMIZE": "2"},
        **{"HOME": str(bare.root.parent), "PIP_USER": "1"},
    }
    done = bare.run("x", **env)
    assert (done.returncode, done.stdout) == (7, f"{bare.venv} x\n"), done.stderr
    assert bare.run("x", **env).stdout == done.stdout


def test_changed_requirements_are_added(made: Bare) -> None:
    """The environment stays. `verify` has more packages, and others keep them."""
    write(made.venv / "mine", "")
    make_wheel(made.wheels, "small")
    made.require("tiny==1.0", "small==1.0", file="requirements-all")
    assert "small" in made.run("verify").stderr
    made.require("small==1.0")
    assert made.run("check").stderr == ""
    assert (made.venv / "mine").exists()


def test_damaged_packages_are_replaced(made: Bare) -> None:
    """If one is gone, a command says so, and the next one installs them again."""
    next(made.venv.rglob("tiny.py")).unlink()
    assert "no module named tiny" in made.fail()
    assert made.run("x").returncode == 7


@posix
def test_ctrl_c_while_installing(made: Bare) -> None:
    """It prints one line and no traceback, and the next command starts over."""
    # pip waits for a named pipe that nobody writes to.
    os.mkfifo(made.root / "more.txt")
    made.require("tiny==1.0", "-r more.txt")
    process = subprocess.Popen(
        [*made.command, f"--wheelhouse={made.wheels}"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # Opening it returns once pip has opened it, too.
    with (made.root / "more.txt").open("w"):
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert said.endswith("Stopped. The next command starts the installation over.\n")
    assert "Traceback" not in said
    made.require("tiny==1.0")
    assert made.run("x").returncode == 7


def test_ctrl_c_at_once(bare: Bare) -> None:
    """It prints one line even before anything has been imported."""
    write(bare.root / "workshop/core/environment.py", "raise KeyboardInterrupt")
    done = bare.run("x")
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")


@pytest.mark.parametrize("words", [("--wheelhouse", "/no such"), ("--wheelhouse",)])
def test_no_such_wheelhouse(bare: Bare, words: tuple[str, ...]) -> None:
    """A wrong folder is reported before anything is made."""
    said = bare.fail(*words, **NO_INDEX)
    assert "there is no folder" in said
    assert "pip download -r requirements.txt" in said
    assert not bare.venv.exists()


def test_broken_wheel(made: Bare) -> None:
    """pip's last line is shown, and where the rest is."""
    made.require("tiny==1.0", "small==1.0")
    (made.wheels / "small-1.0-py3-none-any.whl").write_bytes(b"not a wheel")
    said = made.fail()
    assert said.startswith("Installing failed: ")
    assert "small" in said
    assert str(made.root / ".workshop/install.log") in said


def test_no_network(made: Bare) -> None:
    """It names the two ways out."""
    made.require("tiny==1.0", "small==1.0")
    # A port that refuses every connection, in place of a network that is down.
    said = made.fail(PIP_INDEX_URL="http://127.0.0.1:9/", **NO_INDEX)
    assert said.startswith("The package index can't be reached. Connect")
    assert "--wheelhouse DIR" in said


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full."),
        ('[Errno 13] Permission denied: "/Ada\'s/x"', "/Ada's/x can't be used."),
        ("SSLError(SSLCertVerificationError(1, '", "The certificate of the package"),
        ("ProxyError('Cannot connect to proxy.'", "correct HTTPS_PROXY"),
        ("ERROR: No matching distribution found for a==2", "pip found no a==2 for"),
    ],
)
def test_errors_that_are_known(said: str, meaning: str) -> None:
    """What pip or the system says is translated."""
    assert meaning in environment.explained(said)


@posix
@pytest.mark.parametrize("folder", [".workshop", ".venv"])
def test_folder_of_somebody_else(bare: Bare, folder: str) -> None:
    """It says which file or folder can't be written, and what to do."""
    write(bare.root / folder / "sub/file", "")
    for path in (bare.root / folder, bare.root / folder / "sub"):
        path.chmod(0o555)
    said = bare.fail()
    assert said.startswith(str(bare.root / folder))
    assert "To make the workshop yours: sudo chown" in said


@posix
def test_folder_with_a_colon(bare: Bare, tmp_path: Path) -> None:
    """Python can't make an environment there, so it says what to do."""
    bare.command[1] = bare.root.rename(tmp_path / "co:lon") / "workshop"
    bare.root = tmp_path / "co:lon"
    assert "Rename the folder or move it" in bare.fail()


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii:strict"])
def test_terminal_with_few_characters(made: Bare, encoding: str) -> None:
    """A "?" stands for what it doesn't have, also below the runner."""
    write(
        made.root / "workshop/cli.py",
        "import subprocess, sys, tiny\n"
        "print('\\u2192', flush=True)\n"
        "main = lambda words: subprocess.call([sys.executable, '-c', "
        "'print(chr(0x2192))'])\n",
    )
    for python in (made.python, environment.python_of(made.venv)):
        made.command[0] = python
        done = made.run("x", PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stdout) == (0, "?\n?\n"), done.stderr


def test_old_python_is_told() -> None:
    """The entry is the one file that an old Python reads, so it must be able to."""
    source = (ROOT / "workshop/__main__.py").read_text(encoding="ascii")
    old = source.replace("sys.version_info < (3, 11)", "sys.version_info < (9, 9)")
    done = subprocess.run(
        [sys.executable, "-c", old], capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The workshop needs Python 3.11 or newer, but this")
