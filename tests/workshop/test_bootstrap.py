"""The set-up: what it makes, when it makes it, and what it says when it cannot."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workshop.conftest import ROOT, write
from workshop.core import environment

PINNED = "1.0"


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    """A folder with a wheel of a package named tiny, which has nothing in it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "tiny")
    return folder


def make_wheel(folder: Path, name: str) -> None:
    """Make a wheel of an empty package."""
    info = f"{name}-{PINNED}.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {PINNED}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-{PINNED}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


class Bare:
    """A workshop of which only the set-up is real, and a Python that has nothing."""

    def __init__(self, root: Path, python: Path) -> None:
        self.root = root
        self.python = python

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of it."""
        return [str(self.python), str(self.root / "workshop"), *arguments]

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command line of it, from another folder."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root.parent,
            env={**os.environ, **env},
            capture_output=True,
            encoding="utf-8",
            timeout=50,
        )

    @property
    def venv(self) -> Path:
        """Its virtual environment."""
        return self.root / ".venv"


def set_up_in(root: Path) -> None:
    """Lay out the set-up, one requirement, and a command line that prints its words."""
    for name in ("__init__", "__main__", "bootstrap", "errors", "processes"):
        text = (ROOT / "workshop" / f"{name}.py").read_text()
        write(root / "workshop" / f"{name}.py", text)
    write(
        root / "workshop" / "cli.py",
        "import sys, tiny\n"
        "def main(words):\n"
        "    print(sys.prefix, *words)\n"
        "    return 7 if words else 0\n",
    )
    write(root / "requirements.txt", f"# why\ntiny=={PINNED}\n    # via nothing\n")


@pytest.fixture(scope="session")
def empty_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without any package."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", str(folder)], check=True)
    return environment.python_of(folder)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, empty_python: Path) -> Path:
    """A workshop whose environment is complete; to be copied."""
    root = tmp_path_factory.mktemp("made") / "workshop"
    set_up_in(root)
    wheels = root.parent / "wheels"
    wheels.mkdir()
    make_wheel(wheels, "tiny")
    assert Bare(root, empty_python).run(f"--wheelhouse={wheels}").returncode == 0
    return root


@pytest.fixture
def bare(tmp_path: Path, empty_python: Path) -> Bare:
    """The set-up, before its first run."""
    root = tmp_path / "bare workshop"
    set_up_in(root)
    return Bare(root, empty_python)


@pytest.fixture
def made(tmp_path: Path, made_once: Path, empty_python: Path) -> Bare:
    """The set-up, with its environment complete."""
    root = tmp_path / "made workshop"
    shutil.copytree(made_once, root, symlinks=True)
    return Bare(root, empty_python)


def test_makes_the_environment_once(bare: Bare, wheelhouse: Path) -> None:
    """The first run installs and hands over; the second only hands over.

    What a try left that was broken off is made anew. --wheelhouse may stand anywhere.
    """
    (bare.venv / "bin").mkdir(parents=True)
    (bare.venv / "bin" / "python").write_text("not a program")
    (bare.venv / "rest").write_text("of a try")
    first = bare.run("check", "--wheelhouse", str(wheelhouse), "1")
    assert first.stdout == f"{bare.venv} check 1\n"
    assert first.returncode == 7
    assert "[ 1/1] tiny==1.0\n" in first.stderr
    assert first.stderr.splitlines()[-1].startswith(
        "Installed 1 packages into .venv in"
    )
    assert not (bare.venv / "rest").exists()
    second = bare.run("check", "2")
    assert second.stdout == f"{bare.venv} check 2\n"
    assert second.stderr == ""
    third = subprocess.run(
        [bare.python, "-m", "workshop", "3"],
        cwd=bare.root,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert third.stdout == f"{bare.venv} 3\n"


def test_changed_requirements_are_installed(made: Bare, wheelhouse: Path) -> None:
    """A requirement that came later is added; the environment stays."""
    (made.venv / "mine").write_text("")
    make_wheel(wheelhouse, "small")
    write(made.root / "requirements.txt", "tiny==1.0\nsmall==1.0\n")
    done = made.run(f"--wheelhouse={wheelhouse}")
    assert done.returncode == 0
    assert "Installed 2 packages" in done.stderr
    assert (made.venv / "mine").exists()


def test_package_that_went_is_installed_anew(made: Bare, wheelhouse: Path) -> None:
    """A complete environment that lost a package says so, and is made anew next."""
    (tiny,) = made.venv.rglob("tiny.py")
    tiny.unlink()
    broken = made.run(f"--wheelhouse={wheelhouse}")
    assert broken.returncode == 2
    assert "no module named tiny" in broken.stderr
    assert "Type the command again" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert not (made.venv / environment.STAMP.name).exists()


def test_satisfied_python_is_used_as_it_is(made: Bare, wheelhouse: Path) -> None:
    """A Python that has every requirement uses no other."""
    make_wheel(wheelhouse, "packaging")
    site = made.root.parent / "site"
    for wheel in wheelhouse.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(site)
    # packaging itself is real: it reads the markers.
    (site / "packaging.py").unlink()
    import packaging

    shutil.copytree(Path(packaging.__path__[0]), site / "packaging")
    marked = 'tiny==1.0\nwings==9 ; sys_platform == "pigs"\n'
    write(made.root / "requirements.txt", marked)
    done = made.run("x", PYTHONPATH=str(site))
    assert done.stderr == ""
    assert done.stdout == f"{made.python.parent.parent} x\n"
    write(made.root / "requirements.txt", "tiny==2.0\n")
    done = made.run(f"--wheelhouse={wheelhouse}", PYTHONPATH=str(site))
    assert "has no wheel of tiny==2.0" in done.stderr


def test_two_at_once_make_one_environment(bare: Bare, wheelhouse: Path) -> None:
    """The second waits for the first, then uses what it made."""
    command = bare.command(f"--wheelhouse={wheelhouse}", "x")
    both = [
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=50) for process in both]
    assert [process.returncode for process in both] == [7, 7]
    assert {out.decode() for out, _ in said} == {f"{bare.venv} x\n"}
    errors = [err.decode() for _, err in said]
    assert sum("Installed 1 packages" in err for err in errors) == 1


@pytest.fixture
def slow_pip(made: Bare, wheelhouse: Path) -> Iterator[subprocess.Popen[str]]:
    """An installation that does not end by itself, halted in the midst of pip."""
    # A requirement that pip waits for: a named pipe that nobody writes to.
    os.mkfifo(made.root / "more.txt")
    write(made.root / "requirements.txt", "tiny==1.0\n-r more.txt\n")
    process = subprocess.Popen(
        made.command(f"--wheelhouse={wheelhouse}"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # Opening it for writing returns once pip has opened it for reading.
    descriptor = os.open(made.root / "more.txt", os.O_WRONLY)
    yield process
    os.close(descriptor)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")
def test_ctrl_c_while_installing(made: Bare, slow_pip: subprocess.Popen[str]) -> None:
    """One line, no traceback; without its stamp, the next run makes it anew."""
    os.killpg(slow_pip.pid, signal.SIGINT)
    assert slow_pip.wait(20) == 130
    assert slow_pip.stderr is not None
    *_, last = slow_pip.stderr.read().splitlines()
    assert last == "Stopped. The next run begins the installation again."
    assert not (made.venv / environment.STAMP.name).exists()


def two_lines(done: subprocess.CompletedProcess[str]) -> str:
    """Make sure that a failure was told as it must be; return what was said last."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = [x for x in done.stderr.splitlines() if not x.startswith(("Making", "["))]
    assert 1 <= len(lines) <= 2, done.stderr
    return "\n".join(lines)


def test_no_network(made: Bare) -> None:
    """It names the wheelhouse, and how an instructor makes one."""
    # An index that refuses every connection, in place of a network that is down.
    write(made.root / "requirements.txt", "tiny==1.0\nsmall==1.0\n")
    said = two_lines(
        made.run(
            PIP_INDEX_URL="http://127.0.0.1:9/",
            PIP_CONFIG_FILE=os.devnull,
            PIP_RETRIES="1",
            PIP_EXTRA_INDEX_URL="",
            PIP_FIND_LINKS="",
        )
    )
    assert said.startswith("The package index cannot be reached.")
    assert "--wheelhouse DIR" in said
    assert "pip download -r requirements.txt -d DIR" in said


def test_wheelhouse_that_is_no_folder(bare: Bare) -> None:
    """A wrong folder, or none, is told before anything is made."""
    for words in (("--wheelhouse", "no such"), ("--wheelhouse",)):
        said = two_lines(bare.run(*words))
        assert "is no folder" in said
        assert "pip download" in said
    assert not bare.venv.exists()


def test_wheelhouse_that_lacks_a_wheel(made: Bare, wheelhouse: Path) -> None:
    """It names the package, and how to make the folder."""
    write(made.root / "requirements.txt", "tiny==1.0\nsmall==1.0\n")
    said = two_lines(made.run(f"--wheelhouse={wheelhouse}"))
    assert "has no wheel of small==1.0 for Python" in said
    assert "pip download" in said


def test_install_that_breaks(made: Bare, wheelhouse: Path) -> None:
    """What pip says last is told, and where the rest is."""
    write(made.root / "requirements.txt", "tiny==1.0\nsmall==1.0\n")
    (wheelhouse / f"small-{PINNED}-py3-none-any.whl").write_bytes(b"no wheel")
    said = two_lines(made.run(f"--wheelhouse={wheelhouse}"))
    assert said.startswith("Installing the packages failed: ")
    assert "small" in said
    assert str(made.root / ".workshop" / "install.log") in said


def test_disk_full() -> None:
    """It is told from other failures by pip's own words."""
    said = "ERROR: Could not install: [Errno 28] No space left on device\n"
    assert environment.why_pip_failed(said, None).startswith("The disk is full.")


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_python_without_venv(bare: Bare, module: str) -> None:
    """Debian's Python without python3-venv: it names the package to install."""
    site = bare.root.parent / "site"
    # Python runs it at its start; None there means: no such module.
    write(site / "sitecustomize.py", f"import sys; sys.modules[{module!r}] = None\n")
    said = two_lines(bare.run(PYTHONPATH=str(site)))
    assert f"it has no module {module}" in said
    assert "sudo apt install python3-venv" in said


def test_folder_that_cannot_be_written(bare: Bare) -> None:
    """It says so, and what to do."""
    # No mode of a folder stops root, so the system's answer is given here.
    site = bare.root.parent / "site"
    refuse = "import os\ndef no(path, *_): raise PermissionError(13, 'no', path)\n"
    write(site / "sitecustomize.py", f"{refuse}os.mkdir = no\n")
    said = two_lines(bare.run(PYTHONPATH=str(site)))
    assert said.startswith("Cannot write to ")


def test_old_python_is_told() -> None:
    """The entry is the one file that an old Python reads: it must be able to."""
    source = (ROOT / "workshop" / "__main__.py").read_text(encoding="ascii")
    old = source.replace("sys.version_info < (3, 11)", "sys.version_info < (9, 9)")
    done = subprocess.run(
        [sys.executable, "-c", old], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith(
        "The workshop needs Python 3.11 or newer; this is Python 3."
    )
    assert "python3.12 -m workshop" in second
