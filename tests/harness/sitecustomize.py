"""Python imports this at the start of each process of an app that is tested.

At SIGUSR1, the process writes where each of its threads is, so that a test can say in
which line an app hangs. The file isn't the log, in which the app may print meanwhile.
"""

import faulthandler
import os
import signal
from pathlib import Path

if (path := os.environ.get("SAJE_PROBE_STACKS")) and hasattr(signal, "SIGUSR1"):
    stacks = Path(path).open("a")  # noqa: SIM115  # It stays open.
    faulthandler.register(signal.SIGUSR1, stacks)
