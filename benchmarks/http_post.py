"""POST /v1/job beside a handler that stores nothing.

Both handlers get the client injected, read a JSON body and answer 202. One of them also
stores a job, which a worker then runs. The requests come from one process with 64
connections that are kept open. It uses the same cores, so besides the rates, the CPU
time that the app's processes spend on a request is shown. The two take turns.
"""

from __future__ import annotations

import asyncio
import json
import time
from statistics import median_high

from rich.table import Table

from benchmarks._common import RunningApp, draw, finish, parser, running_app, spread
from workshop.core.output import console

CONNECTIONS = 64
BODY = json.dumps({"task": "nothing"}).encode()


def main() -> int:
    """Measure in turns, and print a table; return the exit status."""
    options = parser("http_post", __doc__)
    options.add_argument("--requests", type=int, default=10_000, help="in each turn")
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--picture", action="store_true", help="draw one as well")
    chosen = options.parse_args()
    rates, cpu = dict[str, list[float]](), dict[str, list[float]]()
    with (
        running_app(SAJE_SYNC="full") as full,
        running_app(SAJE_SYNC="normal") as normal,
    ):
        for _ in range(chosen.turns):
            for name, app, path in (
                ("SAJE, on disk", full, "/v1/job"),
                ("SAJE, by the system", normal, "/v1/job"),
                ("a handler that stores nothing", normal, "/plain"),
            ):
                used = app.cpu()
                seconds = asyncio.run(load(app, path, chosen.requests))
                while app.http.get("/v1/info").json()["queue_depth"]:
                    time.sleep(0.01)
                time.sleep(0.1)
                rates.setdefault(name, []).append(chosen.requests / seconds)
                spent = (app.cpu() - used) / chosen.requests * 1e6
                cpu.setdefault(name, []).append(spent)
    table = Table("POST", "in a second", "CPU, µs each", "of the plain one's rate")
    plain = sorted(rates["a handler that stores nothing"])[chosen.turns // 2]
    for name, values in rates.items():
        middle = median_high(values)
        table.add_row(name, spread(values), spread(cpu[name]), f"{middle / plain:.2f}")
    console().print(table)
    if chosen.picture:
        bars = {name: median_high(v) for name, v in rates.items()}
        draw("http_post", "POSTs in a second (higher is better)", bars)
    return 0


async def load(app: RunningApp, path: str, count: int) -> float:
    """Send requests over all connections, and return the seconds.

    Raises:
        RuntimeError: One of them isn't answered with 202.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
    message = f"{head}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY

    async def send(share: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
        for _ in range(share):
            writer.write(message)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 202"):
                raise RuntimeError(answer.decode())
            length = answer.lower().partition(b"content-length:")[2].split()[0]
            await reader.readexactly(int(length))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(send(count // CONNECTIONS) for _ in range(CONNECTIONS)))
    return time.perf_counter() - began


if __name__ == "__main__":
    finish(main)
