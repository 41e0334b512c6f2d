"""Store: one thread, which commits all that waits in one transaction."""

import sqlite3
from asyncio import Future, get_running_loop
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

LARGEST = 500
"""How many items one transaction may have. More would hold up the other processes."""

Item = TypeVar("Item")
Result = TypeVar("Result")

Write = Callable[[sqlite3.Connection, Sequence[Item]], Sequence[Result | Exception]]
"""Writes some items, and returns a result for each. A result that is an exception is
raised where its item came from."""


@dataclass(slots=True)
class Request(Generic[Item, Result]):
    """An item that waits to be written."""

    write: Write[Item, Result]
    item: Item
    result: Future[Result]


class Store:
    """Writes for all coroutines of a process, with one connection.

    A commit takes as long for a hundred items as for one, because it mostly waits for
    the disk. So all that comes in during a commit goes into the next one together.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        """Start the thread.

        Args:
            db: A connection that nobody else uses.
        """
        self._db = db
        self._requests: SimpleQueue[Request[Any, Any]] = SimpleQueue()
        Thread(target=self._run, daemon=True).start()

    async def do(self, write: Write[Item, Result], item: Item) -> Result:
        """Write an item.

        Args:
            write: The function that writes it.
            item: What to write.

        Returns:
            The function's result for this item, after the commit.

        Raises:
            OSError: The database can't be written, so nothing has changed.
            ValueError: The database doesn't accept this item.
            Exception: The result of the function, if that is one.
        """
        result: Future[Result] = get_running_loop().create_future()
        self._requests.put(Request(write, item, result))
        return await result

    def _run(self) -> None:
        while True:
            batch = self._wait()
            results = self._commit(batch)
            loop = batch[0].result.get_loop()
            with suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(settle, batch, results)

    def _wait(self) -> list[Request[Any, Any]]:
        """Wait for a request, and return it with all the others that have come in."""
        batch = [self._requests.get()]
        with suppress(Empty):
            while len(batch) < LARGEST:
                batch.append(self._requests.get_nowait())
        return batch

    def _commit(self, batch: Sequence[Request[Any, Any]]) -> list[Any]:
        """Write a batch in one transaction, and return a result for each request."""
        try:
            return self._transaction(batch)
        except sqlite3.OperationalError as error:  # such as locked, full or read-only
            return [OSError(f"the database can't be written: {error}") for _ in batch]
        except BaseException as error:
            if len(batch) > 1:  # one of them is to blame, so try each of them alone
                return [self._commit([request])[0] for request in batch]
            if isinstance(error, sqlite3.IntegrityError):
                return [ValueError(str(error))]
            if isinstance(error, sqlite3.Error):
                return [OSError(f"the database can't be written: {error}")]
            return [error]

    def _transaction(self, batch: Sequence[Request[Any, Any]]) -> list[Any]:
        """Write a batch, then commit all of it, or else undo all of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            results: list[Any] = []
            # Requests for the same function that follow each other are one call of it.
            for write, requests in groupby(batch, lambda request: request.write):
                results += write(self._db, [request.item for request in requests])
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite may have undone it already
                self._db.execute("ROLLBACK")
            raise
        return results


def settle(batch: Sequence[Request[Any, Any]], results: Sequence[Any]) -> None:
    """Hand the results to the coroutines that wait for them."""
    for request, result in zip(batch, results, strict=True):
        if request.result.done():  # its coroutine was cancelled
            continue
        if isinstance(result, BaseException):
            request.result.set_exception(result)
        else:
            request.result.set_result(result)
