"""The keeper: ends what a process has started, when that process was killed.

``kill -9`` gives nobody the time to clean up. So whoever starts processes has a keeper
(see processes.py): a process of its own that waits on a pipe. The pipe closes with the
one at its other end, and then the keeper ends all that carry its mark.
"""

from __future__ import annotations

import sys
import time

from workshop.core import processes

QUIET = 0.5
"""Seconds in which none must be found: one may just be about to be started."""


def main(mark: str) -> None:
    """Wait until our starter has ended; end what it has left.

    Takes: ``mark``, what the marks of all begin with that it has started.
    """
    if sys.stdin.buffer.read(1) == processes.DONE:
        return
    seen = time.monotonic()
    while time.monotonic() - seen < QUIET:
        if processes.kill_marked([mark]):
            seen = time.monotonic()
        time.sleep(0.05)


if __name__ == "__main__":
    main(sys.argv[1])
