"""All that hardener has to be measured on a GPU, as a handful of commands of at most nine minutes each.

    python3 bench/gpu/plan.py tests          what runs on CUDA gives what it gives on a processor
    python3 bench/gpu/plan.py steps          a training step: recipes, networks, compile, memory, the card's own rate
    python3 bench/gpu/plan.py cifar --data CIFAR     seven recipes on ResNet-18, suite standard on 1,000 images
    python3 bench/gpu/plan.py suites         how long the suites take on what `cifar` trained
    python3 bench/gpu/plan.py clothes --data DIR --init FILE     a user's photographs at 224 pixels, on ResNet-50
    python3 bench/gpu/plan.py input          how fast photographs are decoded, by threads, by processes, or kept
    python3 bench/gpu/plan.py serving        ONNX Runtime on the card: batch sizes, bound buffers, pinned memory
    python3 bench/gpu/table.py               the tables for docs/benchmarks.md, from what the seven wrote

A command that ends with status 3 has more to do: type it again, and it goes on where it stopped. Results lie in
`bench/gpu/results/PART.json`, one row a finished item; runs lie in `bench/gpu/runs/`. `--toy` does all of it with tiny
networks on whatever device there is: it shows that the plan works, and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from item import HERE, Item, Place

sys.path[:0] = [str(HERE.parent / "training"), str(HERE.parent.parent)]  # the house need not be installed there

from hardener.config.files import write_text  # noqa: E402
from hardener.runtime.device import choose_device, describe_hardware, describe_versions  # noqa: E402

UNFINISHED = 3


def main() -> int:
    """Do what is left of a part, within the time; return the exit status."""
    import checks
    import fed
    import served
    import step_costs
    import trained

    parts: dict[str, Callable[[Place], Iterator[Item]]] = {
        "tests": checks.items,
        "steps": step_costs.items,
        "cifar": trained.cifar,
        "suites": trained.suites,
        "clothes": trained.clothes,
        "input": fed.items,
        "serving": served.items,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data", type=Path, help="the image folder that cifar and clothes train on")
    parser.add_argument("--init", type=Path, help="weights that clothes starts from, as of a ResNet-50")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--runs", type=Path, default=HERE / "runs")
    asked = parser.parse_args()
    if asked.part in {"cifar", "clothes"} and asked.data is None:
        parser.error(f"{asked.part} needs --data DIR")
    place = Place(
        choose_device(asked.device),
        asked.toy,
        time.monotonic() + 60 * asked.minutes,
        asked.results,
        asked.runs,
        asked.data,
        asked.init,
    )
    return work_off(asked.part, list(parts[asked.part](place)), place)


def work_off(part: str, items: list[Item], place: Place) -> int:
    """Measure the items that have no row yet, and write each row as it is found."""
    path = place.results / f"{part}{'-toy' if place.toy else ''}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"part": part, "rows": {}}
    found["hardware"], found["versions"] = describe_hardware(place.device), describe_versions()
    for item in items:
        if item.name in found["rows"]:
            continue
        if place.left() < item.needs_s and not place.toy:
            break
        print(f"{part}: {item.name} …", flush=True)
        row = item.work(place)
        if row is None:
            break
        found["rows"][item.name] = row
        write_text(path, json.dumps(found, indent=2) + "\n")
        print(f"  {json.dumps(row)}", flush=True)
    missing = [item.name for item in items if item.name not in found["rows"]]
    if missing:
        print(f"{part}: {len(missing)} of {len(items)} items are left, {missing[0]} first. Type the same again.")
        return UNFINISHED
    print(f"{part}: all {len(items)} items are in {path}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
