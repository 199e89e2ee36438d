"""`python -m hardener`, and what torchrun starts."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still read and put together ends it silently."""
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(130)


def _run() -> None:
    from hardener.cli.app import run

    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        run()
        return
    from hardener.runtime.processes import ending_at_once

    with ending_at_once():
        run()


if __name__ == "__main__":
    main()
