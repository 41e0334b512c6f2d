"""Functions, a Store and a queue that count what is written: suite 08."""

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from queue import Queue
from typing import Any

from saje.store import Request, Store

written: list[tuple[str, list[str]]] = []
"""Each call of one of the functions that follow: its name, and the items."""


def insert(db: sqlite3.Connection, items: Sequence[str]) -> list[str]:
    """Insert a row for each item. The items "large" and "raises" are special."""
    written.append(("insert", list(items)))
    for item in items:
        kwargs = "x" * (100_000 if item == "large" else 1)
        db.execute(
            "INSERT INTO jobs (uid, task, kwargs, state, submitted_at)"
            "VALUES (?, ?, ?, 'queued', 1)",
            (item.encode().ljust(16), item, kwargs),
        )
        if item == "raises":
            raise RuntimeError("on purpose")
    return [f"inserted {item}" for item in items]


def count(db: sqlite3.Connection, items: Sequence[str]) -> list[str | Exception]:
    """Write nothing. The result of the item "bad" is an exception."""
    written.append(("count", list(items)))
    return [ValueError(item) if item == "bad" else f"counted {item}" for item in items]


def commit(db: sqlite3.Connection, *pairs: tuple[Any, Any]) -> list[Any]:
    """Commit a batch, and return the results.

    Args:
        db: The connection.
        *pairs: The function and the item of each request.
    """
    written.clear()
    nobody: Any = None  # waits for the results
    return Store(db)._commit([Request(*pair, nobody) for pair in pairs])


class SlowStore(Store):
    """A store whose commits wait until a test lets them go."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Create a store whose gate is closed."""
        written.clear()
        self.began = threading.Event()
        self.gate = threading.Event()
        super().__init__(db)

    def _commit(self, batch: Sequence[Request[Any, Any]]) -> list[Any]:
        self.began.set()
        self.gate.wait(20)
        return super()._commit(batch)


class FakeRequests(Queue[Any]):
    """A queue that counts how often somebody would have had to wait."""

    waits = 0

    def __init__(self, items: Iterable[Any]) -> None:
        """Create a queue of these items."""
        super().__init__()
        self.items = self.queue
        self.items.extend(items)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the next item, and never wait."""
        self.waits += bool(not self.items and block and timeout != 0)
        return super().get(block=False)
