"""Where `python3 -m workshop` begins: it stops a Python that is too old, then starts.

It keeps to syntax that Python 2.7 can parse, so that an old Python can say so.
"""

import os
import sys

if sys.version_info < (3, 11):
    sys.exit(
        "The workshop needs Python 3.11 or newer, but this is Python %d.%d (%s).\n"
        "Get a newer one from https://www.python.org/downloads/ or from your system's "
        "packages,\nthen call it by its name, for example: python3.12 -m workshop"
        % (sys.version_info[0], sys.version_info[1], sys.executable)
    )

# If it was started by its path (python3 some/where/workshop), Python searches this
# folder for imports, instead of the folder above it.
here = os.path.dirname(os.path.abspath(__file__))
others = [path for path in sys.path if os.path.abspath(path) != here]
sys.path[:] = [os.path.dirname(here)] + others

if __name__ == "__main__":
    try:
        from workshop.core.environment import main

        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt as interrupt:
        # Importing takes a while, so Ctrl+C may come before anybody else catches it.
        sys.stderr.write(" ".join(("Stopped.",) + interrupt.args) + "\n")
        sys.exit(130)
