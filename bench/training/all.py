"""Every bench of training, one after another, and one table of what they found: `make bench`.

On a processor the settings are small: some ten minutes on two cores. `--device cuda` measures on a GPU what the goals
are set for. `--quick` shows that all of it works and measures nothing. `--json FILE` keeps the rows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import Row, begin, options, print_table

from hardener.runtime.device import describe_hardware

SCRIPTS = ("step", "epoch", "input_rate", "resnet50", "growth")
SMALL = {
    "step": ["--network", "cifar_resnet", "--rounds", "3", "--steps", "1"],
    "epoch": ["--rounds", "3"],
    "input_rate": ["--images", "1000", "--rounds", "3"],
    "resnet50": ["--rounds", "3"],
    "growth": ["--most", "30"],
}


def rows_of(script: str, asked: list[str], device: str, folder: Path) -> list[Row]:
    """Run one script, whose own table goes to the screen, and return its rows."""
    path = folder / f"{script}.json"
    words = [sys.executable, str(Path(__file__).with_name(f"{script}.py")), "--device", device, *asked]
    subprocess.run([*words, "--json", str(path)], check=True)
    return [Row(**row) for row in json.loads(path.read_text())["rows"]]


def main() -> None:
    """Run all and print one table."""
    parser = options(__doc__)
    parser.add_argument("--figure", type=Path, help="draw growth to this PNG file")
    asked = parser.parse_args()
    device = begin(asked)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for script in SCRIPTS:
            words: list[str] = []
            if asked.quick:
                words.append("--quick")
            elif device.type != "cuda":
                words += SMALL[script]
            if script == "growth" and asked.figure:
                words += ["--figure", str(asked.figure)]
            rows += rows_of(script, words, asked.device, Path(folder))
    hardware = describe_hardware(device)
    machine = ", ".join(f"{name} {value}" for name, value in hardware.items())
    print_table(f"training, {device}, {machine}", rows)
    if asked.json:
        content = {"hardware": hardware, "rows": [vars(row) for row in rows]}
        asked.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
