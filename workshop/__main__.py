"""Where ``python3 -m workshop`` begins: stops a Python that is too old, then starts.

It keeps to syntax that Python 2.7 can parse, so that an old Python can say so.
"""

import os
import sys

if sys.version_info < (3, 11):
    sys.exit(
        "The workshop needs Python 3.11 or newer; this is Python %d.%d (%s).\n"
        "Get a newer one from https://www.python.org/downloads/ or your system's "
        "packages, then type for example: python3.12 -m workshop"
        % (sys.version_info[0], sys.version_info[1], sys.executable)
    )

if not __package__:
    # Started by path (python3 some/where/workshop): Python then searches this folder
    # for imports, instead of the one above it.
    here = os.path.dirname(os.path.abspath(__file__))
    others = [path for path in sys.path if os.path.abspath(path) != here]
    sys.path[:] = [os.path.dirname(here)] + others

from workshop.core.environment import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
