"""Measure how long GET /v1/info takes while the servers do something slow.

Start the application, then run this beside it:
    python3 -m workshop python steps/00_the_problem/measure.py [ADDRESS]
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

SLOW = 2.0  # seconds that each slow request takes
SITUATIONS = {
    "nothing": None,
    "handlers that wait": "/v1/waiting",
    "handlers that compute": "/v1/blocking",
    "tasks added with add_task": "/v1/add-task",
}


def worst_latency(client: httpx.Client, slow: str | None, servers: int) -> float:
    """Return the longest of many GET /v1/info, in milliseconds.

    Args:
        client: Where to send requests.
        slow: A path to request at the same time, or None for none.
        servers: How many slow requests to send: one for each server.
    """
    with ThreadPoolExecutor(servers) as beside:
        if slow:
            for _ in range(servers):
                beside.submit(client.get, slow, params={"seconds": SLOW})
                time.sleep(0.3)  # by now it has one server to itself
        worst = 0.0
        until = time.perf_counter() + SLOW
        while time.perf_counter() < until:
            started = time.perf_counter()
            client.get("/v1/info").raise_for_status()
            worst = max(worst, time.perf_counter() - started)
            time.sleep(0.02)
        return worst * 1000


def main(address: str) -> None:
    """Print one line for each situation."""
    # No keep-alive: any server may take the next request.
    no_reuse = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=address, timeout=60, limits=no_reuse) as client:
        workers = client.get("/v1/info").json()["workers"]
        servers = sum(name.startswith("Sanic-Server-") for name in workers)
        print(f"The longest GET /v1/info while {servers} servers are busy with")
        for situation, path in SITUATIONS.items():
            latency = worst_latency(client, path, servers)
            print(f"  {situation:<26} {latency:7.0f} ms", flush=True)


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    try:
        main(address)
    except httpx.ConnectError:
        sys.exit(f"Nothing answers on {address}. Start the application first.")
