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
    if task.every:
        return now // task.every * task.every
    if task.cron:
        # A cron expression names minutes, and the next line finds one before `end`.
        end = datetime.fromtimestamp(now // 60 * 60, UTC) + timedelta(minutes=1)
        return next(CronSim(task.cron, end, reverse=True)).timestamp()
    return None
