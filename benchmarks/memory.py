"""The memory of a worker after a million jobs, beside what it was after 10,000.

The jobs do nothing, and are sent from inside a server. What is counted is the memory
that only this process uses (USS), which a leak would let grow.
"""

from __future__ import annotations

import psutil
from rich.table import Table

from benchmarks._common import RunningApp, finish, parser, progress, running_app
from workshop.core.output import console
from workshop.learner import serving

FEW = 10_000
BURST = 50_000
SENDERS = 500


def main() -> int:
    """Measure, and print a table; return the exit status."""
    options = parser("memory", __doc__)
    options.add_argument("--jobs", type=int, default=1_000_000)
    chosen = options.parse_args()
    with running_app(servers=1, SAJE_SYNC="normal") as app:
        app.post(f"/burst/{FEW}/{SENDERS}")
        before, done = used(app), FEW
        while done < chosen.jobs:
            app.post(f"/burst/{BURST}/{SENDERS}")
            done += BURST
            progress(f"{done:,} jobs")
        after = used(app)
    table = Table("MB", f"after {FEW:,} jobs", f"after {done:,} jobs", "ratio")
    for name in before:
        old, new = before[name] / 1e6, after[name] / 1e6
        table.add_row(name, f"{old:.1f}", f"{new:.1f}", f"{new / old:.2f}")
    console().print(table)
    return 0


def used(app: RunningApp) -> dict[str, int]:
    """Return the bytes of each server and worker, by their names."""
    info = serving.info(app.port) or {}
    return {
        name: psutil.Process(worker["pid"]).memory_full_info().uss
        for name, worker in info["workers"].items()
        if name != "Sanic-Main"
    }


if __name__ == "__main__":
    finish(main)
