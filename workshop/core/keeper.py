"""The keeper: ends the processes that a killed process has left, and tidies up.

A process that is killed by `kill -9` can't clean up. So anyone who starts processes
has a keeper (see processes.py), which waits on a pipe. The pipe closes when the process
at its other end ends, and then the keeper kills all processes that carry its mark.
"""

from __future__ import annotations

import shutil
import sys
import time

from workshop.core import processes

QUIET = 0.5
"""Seconds without a find, because one process may just be about to start another."""


def main(mark: str, temp: str) -> None:
    """Wait until the process that we serve has ended, and remove its leftovers.

    Args:
        mark: The beginning of the marks of all processes that it has started.
        temp: The folder for their temporary files, which is removed.
    """
    if sys.stdin.buffer.read(1) != processes.DONE:
        seen = time.monotonic()
        while time.monotonic() - seen < QUIET:
            if processes.kill_marked([mark]):
                seen = time.monotonic()
            time.sleep(0.05)
    shutil.rmtree(temp, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
