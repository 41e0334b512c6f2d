"""Measure how long GET /v1/info takes while the servers do something slow.

Start the application, then run this beside it. Any Python from 3.11 on will do:
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
JOB = {"task": "primes", "kwargs": {"below": 600_000}}  # some seconds of work
SITUATIONS = {
    "nothing": None,
    "handlers that wait": "/v1/waiting",
    "handlers that compute": "/v1/blocking",
    "tasks added with add_task": "/v1/add-task",
}


def get(address: str, path: str) -> Any:
    """Send a GET request and return what is in its JSON answer.

    Each request has a connection of its own, so any server may take it.

    Args:
        address: Where the application listens: http://127.0.0.1:8000.
        path: What to request.

    Raises:
        OSError: Nothing answers.
        ValueError: The address is wrong, or the answer isn't a success.
    """
    url = urlsplit(address)
    if url.scheme != "http" or not url.hostname:
        raise ValueError(f"{address} isn't an address like http://127.0.0.1:8000.")
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        raise ValueError(
            f"{path} was answered with {answer.status}. Does step 00 or step 04 run on "
            f"{address}?"
        )
    return json.loads(body)


def submit(address: str) -> None:
    """Submit a job that computes, as step 04 accepts it.

    Args:
        address: Where the application listens.
    """
    url = urlsplit(address)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
    headers = {"Connection": "close", "Content-Type": "application/json"}
    connection.request("POST", "/v1/job", json.dumps(JOB), headers)
    connection.getresponse().read()
    connection.close()


def worst_latency(address: str, slow: str | None, servers: int) -> float:
    """Return the longest of many GET /v1/info, in milliseconds.

    Args:
        address: Where the application listens.
        slow: A path to request at the same time, "jobs" for jobs, or None for none.
        servers: How many slow requests to send: one for each server.
    """
    with ThreadPoolExecutor(servers) as beside:
        requests = []
        if slow:
            for _ in range(servers):
                if slow == "jobs":
                    requests.append(beside.submit(submit, address))
                else:
                    path = f"{slow}?seconds={SLOW}"
                    requests.append(beside.submit(get, address, path))
                time.sleep(0.3)  # by now it has one server to itself
        worst = 0.0
        until = time.perf_counter() + SLOW
        while time.perf_counter() < until:
            started = time.perf_counter()
            get(address, "/v1/info")
            worst = max(worst, time.perf_counter() - started)
            time.sleep(0.02)
        for request in requests:
            request.result()  # raises what went wrong with it
        return worst * 1000


def main(address: str) -> None:
    """Print one line for each situation."""
    workers = get(address, "/v1/info")["workers"]
    servers = sum(name.startswith("Sanic-Server-") for name in workers)
    print(f"The longest GET /v1/info while {servers} servers are busy with")
    situations: dict[str, str | None] = SITUATIONS
    if "Sanic-SajeWorker-0" in workers:  # step 04, where jobs do the slow work
        situations = {"nothing": None, "jobs that compute": "jobs"}
    for situation, path in situations.items():
        latency = worst_latency(address, path, servers)
        print(f"  {situation:<26} {latency:7.0f} ms", flush=True)


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    try:
        main(address)
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"Nothing answers on {address}: {error}. Start the application first.")
    except ValueError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped.")
