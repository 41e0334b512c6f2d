"""Bell: tells the workers that there is something to do."""

from asyncio import get_running_loop
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.synchronize import Semaphore as SharedSemaphore
from threading import Semaphore, Thread


def new_tokens() -> SharedSemaphore:
    """Make what all Bells of the app share. Call this in the main process.

    Sanic starts its processes with the method "spawn", and the semaphore has to be of
    the same kind.
    """
    return get_context("spawn").Semaphore(0)


class Bell:
    """One process's end of the bell.

    A ring says "look!", and no more: the jobs are in the store. So it does no harm if a
    worker looks once too often, or if several rings wake it only once.
    """

    def __init__(self, tokens: SharedSemaphore) -> None:
        """Create an end of the bell.

        Args:
            tokens: What `new_tokens` made. Each ring adds a token.
        """
        self._tokens = tokens
        self._armed = Semaphore(0)
        self._waits = False

    def ring(self) -> None:
        """Wake a worker that waits, or the next one that will."""
        with suppress(ValueError, OSError):  # it can't hold any more tokens
            self._tokens.release()

    def listen(self, call: Callable[[], None]) -> None:
        """Start a thread that waits for a ring each time after `arm`.

        Args:
            call: What the running event loop calls when somebody has rung.
        """
        loop = get_running_loop()

        def came() -> None:
            self._waits = False
            call()

        def wait() -> None:
            while True:
                self._armed.acquire()
                self._take()
                with suppress(RuntimeError):  # the loop has been closed
                    loop.call_soon_threadsafe(came)

        Thread(target=wait, daemon=True).start()

    def _take(self) -> None:
        """Wait for a token, and take all that there are: one look answers them all."""
        self._tokens.acquire()
        while self._tokens.acquire(block=False):
            pass

    def arm(self) -> None:
        """Wait for the next ring.

        Do this only while there is a free slot. A worker without one would take the
        token that an idle one needs.
        """
        if not self._waits:
            self._waits = True
            self._armed.release()
