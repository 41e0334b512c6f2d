"""Measure how long GET /v1/info takes while the app does something slow.

Start the app of step 00 or step 04, then run this beside it. It finds out by itself
which of the two answers. Any Python from 3.11 on will do:
    python3 steps/00_the_problem/measure.py [ADDRESS]
"""

import http.client
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

SLOW = 2.0  # seconds that each slow request takes
STEP_00: dict[str, str | None] = {
    "nothing": None,
    "handlers that wait": f"/v1/waiting?seconds={SLOW}",
    "handlers that compute": f"/v1/blocking?seconds={SLOW}",
    "tasks added with add_task": f"/v1/add-task?seconds={SLOW}",
}
STEP_04: dict[str, str | None] = {
    "nothing": None,
    "jobs that compute": "/v1/job",
}
JOB = {"task": "primes", "kwargs": {"below": 1_000_000}}  # a few seconds of work


def ask(address: str, path: str, job: dict[str, Any] | None = None) -> Any:
    """Send a request and return what is in its JSON answer.

    Each request has a connection of its own, so any server may take it.

    Args:
        address: Where the application listens: http://127.0.0.1:8000.
        path: What to request.
        job: What to POST. Without a job, the request is a GET.

    Raises:
        OSError: Nothing answers.
        ValueError: The address is wrong, or the answer isn't a success.
    """
    url = urlsplit(address)
    if url.scheme != "http" or not url.hostname:
        raise ValueError(f"{address} isn't an address like http://127.0.0.1:8000.")
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    headers = {"Connection": "close", "Content-Type": "application/json"}
    method, body = ("POST", json.dumps(job)) if job else ("GET", None)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        raise ValueError(
            f"{path} was answered with {answer.status}. Does step 00 or step 04 run on "
            f"{address}?"
        )
    return json.loads(text)


def worst_latency(address: str, slow: str | None, servers: int) -> float:
    """Return how long the slowest of many GET /v1/info requests took, in milliseconds.

    Args:
        address: Where the application listens.
        slow: A path to request at the same time, or None for none.
        servers: How many slow requests to send: one for each server.
    """
    with ThreadPoolExecutor(servers) as beside:
        requests = []
        if slow:
            job = JOB if slow == "/v1/job" else None
            for _ in range(servers):
                requests.append(beside.submit(ask, address, slow, job))
                time.sleep(0.3)  # by now it has one server to itself
        worst = 0.0
        until = time.perf_counter() + SLOW
        while time.perf_counter() < until:
            started = time.perf_counter()
            ask(address, "/v1/info")
            worst = max(worst, time.perf_counter() - started)
            time.sleep(0.02)
        for request in requests:
            answer = request.result()  # raises what went wrong with it
            if slow == "/v1/job" and answer["task"] != JOB["task"]:
                raise ValueError(
                    f"The app on {address} runs another task than the one it was asked "
                    "for. Measure step 00 or step 04."
                )
        return worst * 1000


def main(address: str) -> None:
    """Print one line for each situation."""
    workers = ask(address, "/v1/info")["workers"]
    servers = sum(name.startswith("Sanic-Server-") for name in workers)
    if "Sanic-SajeWorker-0" in workers:  # from step 04 on, it does the slow work
        situations, busy = STEP_04, "the app is"
    else:
        situations, busy = STEP_00, f"{servers} servers are"
    print(f"The longest GET /v1/info while {busy} busy with")
    for situation, path in situations.items():
        latency = worst_latency(address, path, servers)
        print(f"  {situation:<26} {latency:7.0f} ms", flush=True)


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    try:
        main(address)
    except (OSError, http.client.HTTPException) as error:
        sys.exit(
            f"Nothing answers on {address}: {error}. Start the application first.\n"
            "If it runs on another port, add its address: measure.py "
            "http://127.0.0.1:8001"
        )
    except ValueError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped.")
