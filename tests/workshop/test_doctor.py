"""doctor: what it finds on this machine, and what it says if something is wrong."""

from __future__ import annotations

import socket

import pytest

from tests.workshop.conftest import RunWorkshop, write
from workshop.core import processes
from workshop.core.errors import WorkshopError
from workshop.core.steps import Repository
from workshop.learner import doctor, serving


def test_a_machine_that_is_ready(
    small: Repository,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every check is ok, and the report says the same; no process is left."""
    monkeypatch.setattr(serving, "PORT", processes.free_port())
    status = doctor.doctor(small, report=True)
    text = capsys.readouterr().out
    assert status == 0, text
    for check in doctor.CHECKS:
        assert text.count(f"ok     {check.__name__}: ") == 2, text
    assert "```text\nTime: " in text
    assert text.endswith("is ready.\nRead next: steps/00_start/README.md\n")
    assert not processes.marked([processes.OURS])


def test_a_machine_that_is_not_ready(
    small: Repository, monkeypatch: pytest.MonkeyPatch, workshop: RunWorkshop
) -> None:
    """Each check that fails is a line that says what to do, and the status is 1."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.org")
    small.state.write_text("in the way", encoding="utf-8")
    runner = small.root / "workshop/learner/serving.py"
    with socket.create_server((serving.HOST, 0)) as other:
        port = other.getsockname()[1]
        write(runner, runner.read_text().replace("PORT = 8000", f"PORT = {port}"))
        done = workshop("doctor", "--report")
    assert done.returncode == 1
    assert f"not ok port: Port {port} is taken by " in done.stdout
    assert "not ok curl: curl sends the requests for this machine to a" in done.stdout
    assert "NO_PROXY=127.0.0.1,localhost\n" in done.stdout
    assert f"not ok disk: {small.state} isn't a folder, but" in done.stdout
    assert "```text\nTime: " in done.stdout
    assert "not ok tests: for the same reason\n" in done.stdout
    assert done.stdout.endswith("\n4 checks failed.\n")


def test_a_machine_without_curl(
    small: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says how to install it."""
    monkeypatch.setenv("PATH", str(small.root))
    with pytest.raises(WorkshopError, match="apt install curl"):
        doctor.curl(small)
