"""Single keys from a terminal, without Enter."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

ReadKey = Callable[[], str]
"""Returns the keys that were pressed since the last call; "" when none was."""
ESCAPED = re.compile(r"\x1b(\[[0-9;?]*.|O.|)")
"""An arrow key and its like: several characters, none of them a key of ours."""
LOCAL_MODES = 3
"""Where they are in what termios tells of a terminal."""
END = "q"
"""What a terminal that has gone away counts as."""


@contextmanager
def pressed(wanted: bool) -> Iterator[ReadKey | None]:
    """Within it, keys can be read; whatever ends it, the terminal is as it was.

    Takes: ``wanted``, False to have no keys in any case.
    Yields: what to call for the keys; None where standard input is no terminal.
    """
    if not wanted or not sys.stdin.isatty():
        yield None
    elif sys.platform == "win32":
        yield from on_windows()
    else:
        yield from on_posix(sys.stdin.fileno())


if sys.platform == "win32":

    def on_windows() -> Iterator[ReadKey]:
        """See pressed."""
        import msvcrt

        def read() -> str:
            keys = ""
            while msvcrt.kbhit():
                keys += msvcrt.getwch().lower()
            return keys

        yield read

else:

    def on_posix(terminal: int) -> Iterator[ReadKey]:
        """See pressed. Takes: ``terminal``, its file descriptor."""
        import select
        import termios
        import tty

        def is_ours() -> bool:
            # In the background, to read from it or to change it would stop us.
            return os.tcgetpgrp(terminal) == os.getpgrp()

        def read() -> str:
            try:
                if not is_ours():
                    return ""
                # At the first time, and when a shell has put it back after Ctrl+Z.
                if termios.tcgetattr(terminal)[LOCAL_MODES] & termios.ICANON:
                    tty.setcbreak(terminal)
                if not select.select([terminal], [], [], 0)[0]:
                    return ""
                keys = os.read(terminal, 100).decode(errors="replace") or END
            except (OSError, termios.error):
                return END
            return ESCAPED.sub("", keys).lower()

        before = termios.tcgetattr(terminal)
        try:
            yield read
        finally:
            with suppress(OSError, termios.error):
                if is_ours():
                    termios.tcsetattr(terminal, termios.TCSADRAIN, before)
