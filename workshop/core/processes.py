"""Processes and signals: the one module that knows how the systems differ in them.

Each process that `start` starts carries a mark in its environment, which all processes
below it inherit. By the mark they are found even when their parents are gone: by
`stop`, and by the keeper (keeper.py), which ends them if this process is killed.
"""

from __future__ import annotations

import atexit
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO
from uuid import uuid4

# Before anything is installed, `replace` and `interrupted_by_termination` have to work.
with suppress(ImportError):
    import psutil

MARKS = "WORKSHOP_STARTED_BY"
"""The environment variable that holds the marks of a process."""
OURS = f"{uuid4().hex}."
"""The beginning of the mark of each process that this process starts."""
DONE = b"."
"""Tells the keeper that every process has ended."""
TEMP_VARIABLES = ("TMPDIR", "TEMP", "TMP")
LONGEST_TEMP = 57
"""Bytes. A Manager's socket lies in this folder, its name adds 46 bytes to the path
(/saje-12345678/pymp-12345678/listener-12345678), and macOS allows 103 bytes."""
WAIT = 60.0
"""Seconds that killed processes may take to disappear, on a busy machine."""

_started: list[Started] = []
_begun = 0
"""How many processes were started, or were about to be."""
_keeper: subprocess.Popen[bytes] | None = None
_temp = ""
"""The folder for the temporary files of all started processes."""
_lock = threading.Lock()

if sys.platform == "win32":
    NEW_GROUP = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
else:
    NEW_GROUP = {"start_new_session": True}


class Started(subprocess.Popen[bytes]):
    """A process that `start` has started. End it with `stop`."""

    mark: str
    """All processes below it have this among their marks."""


def replace(command: Sequence[str], cwd: Path | None = None) -> int:
    """Turn this process into another program, with the same pid and terminal.

    Windows can't do that, so there the program runs below this process, which waits.

    Args:
        command: The path of the program, and its arguments.
        cwd: The folder to run it in.

    Returns:
        The exit status, on Windows. On other systems it doesn't return.
    """
    os.environ.update(dict.fromkeys(TEMP_VARIABLES, short_temp()))
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        if cwd is not None:
            os.chdir(cwd)
        os.execv(command[0], list(command))
    process = subprocess.Popen(command, cwd=cwd)
    while True:
        # The console sends Ctrl+C to the program as well, which decides what it means.
        with suppress(KeyboardInterrupt):
            return process.wait()


@contextmanager
def interrupted_by_termination() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP (a closed terminal) as Ctrl+C, so that both clean up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {n: signal.signal(getattr(signal, n), interrupt) for n in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def start(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
) -> Started:
    """Start a command in a process group of its own. End it with `stop`.

    A Ctrl+C in the terminal doesn't reach it, and a signal that it sends to its whole
    group, as Sanic does in the end, doesn't reach us. If this process is killed, the
    command and all processes below it end within a few seconds.

    Args:
        command: The path of a program, and its arguments.
        cwd: The folder to run it in.
        env: Environment variables to add to those of this process.
        output: A file for its output and its errors, in UTF-8; ours by default.

    Returns:
        The running process.
    """
    global _begun
    keep()
    with _lock:
        mark = f"{OURS}{_begun};"
        _begun += 1
    process = Started(  # type: ignore[call-overload]
        list(command),
        cwd=cwd,
        env={
            **os.environ,
            **dict.fromkeys(TEMP_VARIABLES, _temp),
            **({"PYTHONIOENCODING": "utf-8"} if output else {}),
            **(env or {}),
            MARKS: os.environ.get(MARKS, "") + mark,
        },
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        **NEW_GROUP,
    )
    process.mark = mark
    _started.append(process)
    return process  # type: ignore[no-any-return]


def keep() -> Path:
    """Start the keeper, unless there is one: it serves all processes that we start.

    It waits for the end of its standard input. We hold the other end, which the system
    closes when this process ends, however it ends.

    Returns:
        A folder for temporary files, which the keeper removes in the end.
    """
    global _keeper, _temp
    with _lock:
        if _keeper is None or _keeper.poll() is not None:
            _temp = _temp or tempfile.mkdtemp(prefix="saje-", dir=short_temp())
            _keeper = subprocess.Popen(  # type: ignore[call-overload]
                [sys.executable, "-m", "workshop.core.keeper", OURS, _temp],
                cwd=Path(__file__).parents[2],
                env={**os.environ, "PYTHONSAFEPATH": ""},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **NEW_GROUP,
            )
            atexit.register(dismiss, _keeper)
        return Path(_temp)


def dismiss(keeper: subprocess.Popen[bytes]) -> None:
    """Let the keeper go, which first removes the folder for temporary files."""
    ended = sum(process.poll() is not None for process in _started)
    with suppress(OSError, subprocess.TimeoutExpired):
        keeper.communicate(DONE if ended == _begun else b"", timeout=WAIT)


def short_temp() -> str:
    """Return a folder for temporary files in whose path a socket's name has room."""
    folder = tempfile.gettempdir()
    if os.name == "posix" and len(os.fsencode(folder)) > LONGEST_TEMP:
        return next((f for f in ("/tmp", "/var/tmp") if os.access(f, os.W_OK)), folder)
    return folder


def send_signal(
    process: subprocess.Popen[bytes], number: int, to_group: bool = False
) -> None:
    """Send a signal to a process that `start` has started.

    Windows knows only one such signal, Ctrl+Break, and sends it to the whole group.

    Args:
        process: The process.
        number: The signal, such as signal.SIGINT.
        to_group: Whether its whole group gets it, as at Ctrl+C in a terminal.
    """
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    elif to_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)


def stop(process: Started, grace: float) -> None:
    """End a process and all processes below it, as `stop_all` does."""
    stop_all([process], grace)


def stop_all(processes: Sequence[Started], grace: float) -> None:
    """End processes and all processes below them, so that none is left.

    They get SIGINT first. Those that are left after the grace period, or when the user
    presses Ctrl+C again, are killed.

    Args:
        processes: Processes that `start` has started.
        grace: Seconds that they may take to end by themselves.
    """
    with suppress(KeyboardInterrupt):
        for process in processes:
            if process.poll() is None:
                send_signal(process, signal.SIGINT)
        deadline = time.monotonic() + grace
        while any(p.poll() is None for p in processes) and time.monotonic() < deadline:
            time.sleep(0.02)
    # If the system hides the environment, this still finds those that have a parent.
    # The pid of one that has ended may be another program's by now.
    running = [process.pid for process in processes if process.poll() is None]
    family = set().union(*map(descendants, running))
    for process in processes:
        process.kill()
        process.wait()
    kill(family)
    kill_marked([process.mark for process in processes])


def descendants(pid: int) -> set[psutil.Process]:
    """Return the processes below a process, or none if it has ended."""
    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def session(leader: int) -> set[psutil.Process]:
    """Return the living processes of a session, even those whose parent is gone.

    Args:
        leader: The pid of a process that `start` has started.

    Returns:
        The processes; none on Windows, which has no such sessions.
    """
    found = set()
    if sys.platform != "win32":
        for process in psutil.process_iter():
            with suppress(OSError):
                if os.getsid(process.pid) == leader and is_alive(process):
                    found.add(process)
    return found


def marked(marks: Sequence[str]) -> set[psutil.Process]:
    """Return the living processes that carry one of some marks.

    Args:
        marks: Marks, or the beginning that several marks share.
    """
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it isn't ours, or it has just ended
            theirs = process.environ().get(MARKS, "")
            if any(mark in theirs for mark in marks) and is_alive(process):
                found.add(process)
    return found


def kill_marked(marks: Sequence[str]) -> bool:
    """Kill the processes that carry one of some marks; return whether any did."""
    deadline = time.monotonic() + WAIT
    some = False
    # Repeat this, because one of them may have started another in the meantime.
    while (found := marked(marks)) and time.monotonic() < deadline:
        some = True
        kill(found)
    return some


def kill(processes: set[psutil.Process]) -> None:
    """Kill processes and wait until they are gone, but no longer than `WAIT`."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    deadline = time.monotonic() + WAIT
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.01)


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process is running, which a zombie isn't."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """Return a TCP port of this machine that nobody listens on.

    The system itself takes ports from 32768 on (49152 on macOS and Windows) for the
    connections that programs open, so one of those may be gone a moment later.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listening_on(port: int) -> list[psutil.Process]:
    """Return the processes that listen on a TCP port, as far as we may see them."""
    found = []
    # The system's own list has one process for a socket, and Sanic's servers share one.
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            sockets = process.net_connections(kind="tcp")
            ports = [s.laddr.port for s in sockets if s.status == psutil.CONN_LISTEN]
            if port in ports:
                found.append(process)
    return found


def left_behind(owners: list[psutil.Process]) -> list[psutil.Process]:
    """Return all processes that a killed Sanic has left, given those on its port.

    A running Sanic's main process holds the port together with its servers. If only
    children of multiprocessing hold it, the main process is dead. It may have left
    others that don't hold the port: a Manager, the reloader, the worker.

    Returns:
        The processes of the same group and parent; none if Sanic is running, and none
        on Windows, which has no such groups.
    """
    if sys.platform == "win32":
        return []

    def kin(process: psutil.Process) -> tuple[int, int] | None:
        with suppress(psutil.Error, OSError):
            if "multiprocessing" in " ".join(process.cmdline()):
                return os.getpgid(process.pid), process.ppid()
        return None

    families = {kin(owner) for owner in owners}
    if None in families:
        return []
    return [process for process in psutil.process_iter() if kin(process) in families]
