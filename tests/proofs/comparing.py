"""Compares the output that a lesson shows with the real one.

Both lose what is different each time. In a lesson, `…` stands for anything within a
line, and a line that has only `…` stands for any number of lines.
"""

from __future__ import annotations

import re

DIFFERENT_EACH_TIME = (
    # What Sanic puts in front of each line of its log: process, time, level.
    (r"^\w+(?: \d+)? +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} [A-Z]+: +", ""),
    (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.:+]*", "TIME"),
    # Of pids: [4711], "pid":4711, (pid 4711), kill 4711 4712, and what ps lists.
    (r"\[\d+\]", "[PID]"),
    (r'"pid":\d+', '"pid":PID'),
    (r"\bpid \d+", "pid PID"),
    (r"\bkill \d+(?: \d+)*", "kill PIDS"),
    (r"^ *\d+ +\d+ (?=.* -c from multiprocessing)", "PPID PID "),
    # What was measured, and the spaces that line it up.
    (r" *\b\d+(?:\.\d+)?(?:e[+-]\d+)? (usec|ms|s)\b", r" N \1"),
    (r"[ \r]+$", ""),
)


def normalised(text: str) -> str:
    """Return a text without what is different each time."""
    for pattern, stand_in in DIFFERENT_EACH_TIME:
        text = re.sub(pattern, stand_in, text, flags=re.MULTILINE)
    lines = text.strip("\n").split("\n")
    if all(line.startswith("PPID PID ") for line in lines):
        # ps lists processes by their pids, which start over after the highest one.
        lines.sort(key=lambda line: line.partition(" -c ")[2])
    return "\n".join(lines)


def is_all(shown: str, came: str) -> bool:
    """Return whether the output that is shown is all of the real output."""
    pattern = "".join(
        r"(?:.*\n)*" if line == "…" else pattern_of(line) + r"\n"
        for line in normalised(shown).splitlines()
    )
    return re.fullmatch(pattern, normalised(came) + "\n") is not None


def is_in(shown: str, log: str) -> bool:
    """Return whether a log has the lines that are shown, in this order.

    Others may be between them, because several processes write to the log.
    """
    lines = iter(normalised(log).splitlines())
    wanted = [line for line in normalised(shown).splitlines() if line != "…"]
    return all(
        any(re.fullmatch(pattern_of(one), line) for line in lines) for one in wanted
    )


def pattern_of(line: str) -> str:
    """Return a regular expression for one line that is shown."""
    return ".*".join(map(re.escape, line.split("…")))
