"""When a periodic task is due."""

from datetime import UTC, datetime, timedelta

from cronsim import CronSim

from saje.task import Task


def latest_slot(task: type[Task], now: float) -> float | None:
    """Return when a task was due last.

    All workers find the same time, to the bit, so that its job is stored only once.

    Args:
        task: The task.
        now: Seconds since 1970, UTC.

    Returns:
        That time, in seconds since 1970, UTC, or None if the task isn't periodic.
    """
    # TODO 12.7: workers don't look at the same moment, so don't count from `now`. For a
    # task with `every`, the slots are the multiples of that many seconds. For one with
    # `cron`, CronSim(..., reverse=True) finds them, latest first. An expression names
    # whole minutes, so search backwards from the end of this minute.
    return None
