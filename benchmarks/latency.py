"""From sending a job to reading its result, one job at a time, in an idle system.

A job that does nothing is sent from inside a server through the client, which then
reads it again and again until its result is there. Huey's jobs are sent and awaited in
the same way. "Beside retries" means that a hundred jobs fail in the background, each of
which is tried again after about a second, and that each worker extends its lease three
times a second. The last line is the CPU time that the whole system uses while it has
nothing to do.
"""

from __future__ import annotations

import time
from statistics import median_high

from rich.table import Table

from benchmarks._common import draw, finish, huey, parser, running_app, spread
from workshop.core.output import console

IDLE = 20.0  # seconds
FAILING = 100  # jobs


def main() -> int:
    """Measure in turns, and print a table; return the exit status."""
    options = parser("latency", __doc__)
    options.add_argument("--jobs", type=int, default=400, help="in each turn")
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--picture", action="store_true", help="draw one as well")
    chosen = options.parse_args()
    medians, high = dict[str, list[float]](), dict[str, list[float]]()

    def note(name: str, found: dict[str, float]) -> None:
        medians.setdefault(name, []).append(found["median"])
        high.setdefault(name, []).append(found["p99"])

    with (
        running_app(servers=1, SAJE_SYNC="full") as full,
        running_app(servers=1, SAJE_SYNC="normal") as normal,
        running_app(servers=1, SAJE_SYNC="normal", SAJE_LEASE=1) as busy,
    ):
        for _ in range(FAILING):
            busy.http.post("/v1/job", json={"task": "failing"}).raise_for_status()
        for _ in range(chosen.turns):
            note("SAJE, on disk", full.post(f"/one-by-one/{chosen.jobs}"))
            note("SAJE, by the system", normal.post(f"/one-by-one/{chosen.jobs}"))
            note("SAJE, beside retries", busy.post(f"/one-by-one/{chosen.jobs}"))
            note("Huey, on disk", huey(True, 1, 100))
            note("Huey, by the system", huey(False, 1, 100))
    with running_app() as app:
        time.sleep(1)
        used = app.cpu()
        time.sleep(IDLE)
        idle = (app.cpu() - used) / IDLE * 100
    table = Table("sent to readable, ms", "median (from, to)", "99 % within (from, to)")
    for name, values in medians.items():
        table.add_row(name, spread(values, 2), spread(high[name], 2))
    console().print(table)
    console().print(f"Idle, the whole system uses {idle:.1f} % of a core.")
    if chosen.picture:
        bars = {name: median_high(v) * 1000 for name, v in medians.items()}
        draw("latency", "µs from sent to readable (lower is better)", bars)
    return 0


if __name__ == "__main__":
    finish(main)
