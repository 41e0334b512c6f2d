"""Processes and signals: the one place that knows how systems differ in them.

What ``start`` has started carries a mark in its environment, and all below it inherit
that. So they can be found whatever became of their parents: by ``stop``, and by the
keeper (keeper.py), which ends them when this process is killed and cannot do it.

Importing this module needs the standard library alone; psutil is imported where it is
used, because the runner passes here before anything is installed.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    import psutil

MARKS = "WORKSHOP_STARTED_BY"
"""The environment variable that holds a process's marks."""
OURS = f"{uuid4().hex}."
"""What the marks of all begin with that this process has started."""
DONE = b"."
"""What the keeper is told when there is nothing for it to do."""

_marks: list[str] = []
"""Of all that was started, or was about to be."""
_started: list[Started] = []
_keeper: subprocess.Popen[bytes] | None = None
_lock = threading.Lock()


class Started(subprocess.Popen[bytes]):
    """A process that ``start`` has started. End it with ``stop``."""

    mark: str
    """What all below it have among their marks."""


def replace(command: Sequence[str], cwd: Path | None = None) -> int:
    """Turn this process into ``command``, so that its signals and status are its own.

    Windows has no such call: there the command runs below this process, which waits.

    Takes: ``command``, whose first item is the path of a program; ``cwd``, the folder
    to run it in.
    Returns: the command's exit status (on Windows; elsewhere it does not return).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        if cwd is not None:
            os.chdir(cwd)
        os.execv(command[0], list(command))
    process = subprocess.Popen(command, cwd=cwd)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # The console gave it to the command too; its answer counts.


@contextmanager
def interrupted_by_termination() -> Iterator[None]:
    """Within it, a polite request to end is the same as Ctrl+C: KeyboardInterrupt.

    So a closed terminal (SIGHUP) or a ``kill`` (SIGTERM) cleans up as Ctrl+C does.
    """

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
    """Start a command in a process group of its own.

    A Ctrl+C in the terminal does not reach it, and a signal that it sends to its whole
    group (Sanic does, as its last resort) does not reach us. End it with ``stop``. When
    this process is killed before that, it and all below it end within a few seconds.

    Takes: ``env``, variables to add to this process's; ``output``, where standard
    output and error go (None: to ours).
    Returns: the running process.
    """
    keep()
    with _lock:
        mark = f"{OURS}{len(_marks)};"
        _marks.append(mark)
    marks = {MARKS: os.environ.get(MARKS, "") + mark}
    process = Started(  # type: ignore[call-overload]
        list(command),
        cwd=cwd,
        env={**os.environ, **(env or {}), **marks},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        **new_group(),
    )
    process.mark = mark
    _started.append(process)
    return process  # type: ignore[no-any-return]


def new_group() -> dict[str, bool | int]:
    """Return what makes Popen start a process in a group of its own."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def keep() -> None:
    """Have a keeper: one for all that this process starts.

    It waits for the end of its standard input, which is ours to write. The system
    closes that when this process ends, however it does.
    """
    global _keeper
    with _lock:
        if _keeper is None or _keeper.poll() is not None:
            _keeper = subprocess.Popen(  # type: ignore[call-overload]
                [sys.executable, "-m", "workshop.core.keeper", OURS],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **new_group(),
            )
            atexit.register(dismiss, _keeper)


def dismiss(keeper: subprocess.Popen[bytes]) -> None:
    """Let a keeper go: at once when all that was started has ended, as it should."""
    ended = sum(process.poll() is not None for process in _started)
    word = DONE if ended == len(_marks) else b""
    with suppress(OSError, subprocess.TimeoutExpired):
        keeper.communicate(word, timeout=5)


def send_signal(
    process: subprocess.Popen[bytes], number: int, to_group: bool = False
) -> None:
    """Signal a process that ``start`` has started.

    Windows knows one such signal, Ctrl+Break, and only for a whole group.

    Takes: ``number``, such as signal.SIGINT; ``to_group``, to signal all below it, too,
    as a terminal does at Ctrl+C.
    """
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)
    elif to_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)


def stop(process: Started, grace: float) -> None:
    """End a process and all below it. See stop_all."""
    stop_all([process], grace)


def stop_all(processes: Sequence[Started], grace: float) -> None:
    """End processes and all below them: first by SIGINT, then, if need be, by force.

    A further Ctrl+C ends the wait. When it returns, none of them is left.

    Takes: ``processes``, as ``start`` gave them; ``grace``, how long they may take to
    end by themselves, in seconds.
    """
    try:
        for process in processes:
            if process.poll() is None:
                send_signal(process, signal.SIGINT)
        deadline = time.monotonic() + grace
        while any(p.poll() is None for p in processes) and time.monotonic() < deadline:
            time.sleep(0.02)
    except KeyboardInterrupt:
        pass
    # Where a system hides the environment, this still finds those that have a parent.
    family = set().union(*(descendants(process.pid) for process in processes))
    for process in processes:
        process.kill()
        process.wait()
    kill(family)
    kill_marked([process.mark for process in processes])


def descendants(pid: int) -> set[psutil.Process]:
    """Return the processes below ``pid``; none when it has ended."""
    import psutil

    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def session(leader: int) -> set[psutil.Process]:
    """Return the living processes of a session, also those whose parent has died.

    Windows has no sessions of this kind: there the set is empty.

    Takes: ``leader``, the pid of a process that ``start`` has started.
    """
    import psutil

    found = set()
    if os.name == "posix":
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == leader and is_alive(process):
                    found.add(process)
            except OSError:
                continue
    return found


def marked(marks: Sequence[str]) -> set[psutil.Process]:
    """Return the living processes that have one of some marks, and all below them.

    Takes: ``marks``, whole ones, or the beginning that several share.
    """
    import psutil

    found = set()
    for process in psutil.process_iter():
        try:
            theirs = process.environ().get(MARKS, "")
        except (psutil.Error, OSError):
            continue  # It is not ours, or it has just ended.
        if any(mark in theirs for mark in marks) and is_alive(process):
            found.add(process)
    return found


def kill_marked(marks: Sequence[str]) -> bool:
    """End by force all that have one of some marks; return whether there were any."""
    deadline = time.monotonic() + 5
    some = False
    # Again and again: one of them may have started another in the meantime.
    while (found := marked(marks)) and time.monotonic() < deadline:
        some = True
        kill(found)
    return some


def kill(processes: set[psutil.Process]) -> None:
    """End processes by force, and wait until they are gone (5 s at most)."""
    import psutil

    for process in processes:
        try:
            process.kill()
        except psutil.Error:
            continue
    deadline = time.monotonic() + 5
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.01)


def adopt_orphans() -> bool:
    """Become the parent of each process below this one whose own parent dies.

    Without it, the system's first process does: then nothing tells whose it was.

    Returns: whether the system can do that (Linux can).
    """
    if sys.platform != "linux":
        return False
    import ctypes

    set_child_subreaper = 36  # PR_SET_CHILD_SUBREAPER of <linux/prctl.h>
    return bool(ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0) == 0)


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process still runs; one that only awaits its burial does not."""
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening_on(port: int) -> list[psutil.Process]:
    """Return the processes that listen on a TCP port, as far as we may see them.

    Each process is asked: the system-wide list names one process for a socket, and the
    servers of one application share theirs.
    """
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            connections = process.net_connections(kind="tcp")
        except (psutil.Error, OSError):
            continue
        if any(
            c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port
            for c in connections
        ):
            found.append(process)
    return found


def left_behind(owners: list[psutil.Process]) -> list[psutil.Process]:
    """Return all that outlived a killed Sanic, given those that hold its port.

    A Sanic that runs holds the port itself, beside its servers. Where only processes
    that multiprocessing has started hold it, their parent is dead; with them it left
    others that hold no port: its Manager, its reloader, its worker.

    Returns: those of one process group and one new parent; empty when Sanic runs.
    """
    import psutil

    def kin(process: psutil.Process) -> tuple[int, int] | None:
        try:
            if "multiprocessing" in " ".join(process.cmdline()):
                return os.getpgid(process.pid), process.ppid()
        except (psutil.Error, OSError):
            pass
        return None

    families = {kin(owner) for owner in owners}
    if sys.platform == "win32" or None in families:
        return []
    return [process for process in psutil.process_iter() if kin(process) in families]
