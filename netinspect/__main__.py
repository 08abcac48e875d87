"""`python -m netinspect` and the `netinspect` script."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

gc.disable()  # one question, one answer: collecting costs 5 ms while loading, more in a listing


def main() -> NoReturn:
    """Run the command line and leave with its exit status."""
    try:
        from netinspect.cli.app import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # while still loading
        status = 130
    # All is written. Python would first take everything apart: 10 ms, 60 after a large listing.
    os._exit(status)


if __name__ == "__main__":
    main()
