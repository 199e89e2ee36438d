"""How long `hardener --help` takes, against a Python that does nothing: medians of runs taken in turns."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 15
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import typer, rich": [sys.executable, "-c", "import typer, rich.console, rich.progress"],
    "hardener --help": [sys.executable, "-m", "hardener", "--help"],
    "import torch, torchvision": [sys.executable, "-c", "import torch, torchvision"],
}


def main() -> None:
    """Print a line a command: median seconds and the ratio to the first."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times[name].append(time.perf_counter() - started)
    floor = statistics.median(next(iter(times.values())))
    for name, found in times.items():
        middle = statistics.median(found)
        print(f"{name:26} {middle:6.3f} s  {middle / floor:6.1f} x  (least {min(found):.3f}, n = {ROUNDS})")


if __name__ == "__main__":
    main()
