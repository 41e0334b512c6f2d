"""doctor: what it finds on this machine, and what it says when something is wrong."""

from __future__ import annotations

import io
import os
import socket
import time
from pathlib import Path

import pytest
from rich.console import Console

from tests.workshop.conftest import ROOT
from workshop.core import environment, processes
from workshop.core.errors import WorkshopError
from workshop.core.steps import Repository
from workshop.learner import doctor, serving


def test_a_machine_that_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line is ok, and the report says the same; no process is left."""
    monkeypatch.setattr(serving, "PORT", processes.free_port())
    out = io.StringIO()
    status = doctor.doctor(Repository(ROOT), Console(file=out, width=80), report=True)
    text = out.getvalue()
    assert status == 0, text
    for name in doctor.CHECKS:
        assert text.count(f"ok     {name}: ") == 2, text
    assert "```text\nTime: " in text
    assert "  05 " in text
    assert text.endswith("This machine is ready.\n")
    assert not processes.marked([processes.OURS])


def test_what_is_wrong_is_said(
    small: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that fails is one line that says what to do, and the status is 1."""
    with socket.socket() as other:
        other.bind((serving.HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr(serving, "PORT", port)
        monkeypatch.setattr(
            doctor, "CHECKS", {"port": doctor.port, "spawn": doctor.spawn}
        )
        out = io.StringIO()
        status = doctor.doctor(small, Console(file=out), report=False)
    text = out.getvalue()
    assert status == 1
    assert f"not ok port: Port {port} is taken by " in text
    assert "ok     spawn: " in text
    assert text.endswith("1 not ok.\n")


def test_a_disk_that_cannot_be_written(small: Repository) -> None:
    """Where no folder can be made, the line says where to go."""
    small.state.write_text("in the way", encoding="utf-8")
    with pytest.raises(WorkshopError, match=r"cannot write to .*; copy the workshop"):
        doctor.disk(small)


def test_a_clock_that_is_wrong(small: Repository) -> None:
    """A clock that is before the workshop was made is wrong."""
    assert doctor.clock(small)
    later = time.time() + 3 * 86_400
    os.utime(small.root / "requirements.txt", (later, later))
    with pytest.raises(WorkshopError, match="set the clock"):
        doctor.clock(small)


def test_packages_of_another_version(
    small: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A package that is not as pinned is named."""
    other = tmp_path / "requirements.txt"
    other.write_text("rich==0.1\n", encoding="utf-8")
    monkeypatch.setattr(environment, "REQUIREMENTS", other)
    with pytest.raises(WorkshopError, match=r"rich is .*, not 0\.1\. Delete the"):
        doctor.packages(small)


def test_an_app_that_does_not_end(
    small: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app that SIGINT does not end is said to be one, and is ended by force."""
    solution = small.solution(small.steps()[-1])
    server = solution / "server.py"
    text = server.read_text(encoding="utf-8")
    text = text.replace(
        'return json({"db": app.config.get("SAJE_DB")})',
        "states = {n: {'state': w.get('state')} for n, w in app.m.workers.items()}\n"
        "        return json({'workers': states})",
    )
    stuck = """
    @app.main_process_stop
    async def stop(app: Sanic) -> None:
        time.sleep(60)

    return app
"""
    text = text.replace("\n    return app\n", stuck)
    text += "\nimport time\n\nprint('SAJE worker ready', flush=True)\n"
    server.write_text(text, encoding="utf-8")
    monkeypatch.setattr(doctor, "STOP", 1.0)
    monkeypatch.setattr(serving, "GRACE", 0.1)
    monkeypatch.setattr(serving, "BOOT", 5.0)
    with pytest.raises(WorkshopError, match="did not end within 1 s of SIGINT"):
        doctor.managed_process(small)
    assert not processes.marked([processes.OURS])
