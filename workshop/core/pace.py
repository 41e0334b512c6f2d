"""How slow this machine is now: limits of tests, and of `grade`, grow with it."""

from __future__ import annotations

import time

WORK = 0.005
"""Seconds of CPU time that a measurement takes."""
EVERY = 1.0
"""Seconds between two measurements."""
ROOM = 4.0
"""How slow a machine may be before the limits grow: they leave room for that much."""
SHORTEST, LONGEST = 0.02, 0.2
"""Seconds of a pause, which are more after a while, as each look costs CPU time."""

_slowness = 0.0  # until it was measured
_measured = 0.0


def slowness() -> float:
    """Return what the limits are to be multiplied by now, at least 1."""
    return max(1.0, (_slowness or measure()) / ROOM)


def measure(pause: float = SHORTEST) -> float:
    """Pause, and then measure how long a bit of work takes.

    The time that we oversleep is part of it, because a process whose group has used up
    its share of the CPU doesn't wake up before it gets some again.

    Args:
        pause: Seconds to pause at least.

    Returns:
        Seconds for a second of CPU time, the average of the latest measurements.
    """
    global _slowness, _measured
    _measured = due = time.monotonic() + pause
    time.sleep(pause)
    done = time.thread_time() + WORK
    while time.thread_time() < done:
        pass
    now = (time.monotonic() - due) / WORK
    _slowness = (_slowness + now) / 2 if _slowness else now
    return _slowness


class Watch:
    """Counts seconds, but fewer of them while the machine is slow."""

    def __init__(self, least: float = 1.0) -> None:
        """Begin to count.

        Args:
            least: How slow the machine is taken to be at least.
        """
        self.seconds = 0.0
        self._least = least
        self._began = self._last = time.monotonic()

    def pause(self) -> None:
        """Wait until the next look, and count the time since the last one."""
        pause = min(LONGEST, SHORTEST + (self._last - self._began) / 20)
        if time.monotonic() - _measured > EVERY:
            measure(pause)
        else:
            time.sleep(pause)
        now = time.monotonic()
        self.seconds += (now - self._last) / max(slowness(), self._least)
        self._last = now
