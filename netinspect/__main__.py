"""`python -m netinspect` and the `netinspect` script."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit status."""
    try:
        from netinspect.cli.app import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # while still loading
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
