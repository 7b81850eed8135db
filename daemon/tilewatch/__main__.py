"""Entry point of `tilewatch` and `python -m tilewatch`."""

from __future__ import annotations

import sys

from tilewatch.cli import run_command_line


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
