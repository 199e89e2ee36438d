"""What `network.checkpoint` saves and costs: peak memory of a fresh process, and processor time of a step.

python bench/training/recompute.py --network resnet50 --size 224 --batch-size 16
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import torch
import torchvision
from common import Row, Stepper, begin, options, peak_resident, random_batch, ratio, seconds, show, take_turns

from hardener.models.recompute import recompute
from hardener.training.parallel import blocks


def stepper(network: str, device: torch.device, *, recomputes: bool, bf16: bool) -> Stepper:
    """Take natural steps of a network of torchvision."""
    built = torchvision.models.get_model(network, num_classes=100)
    if recomputes:
        recompute(blocks(built))
    return Stepper(built, "natural", device, classes=100, bf16=bf16)


def memory(network: str, size: int, batch_size: int, device: torch.device, *, recomputes: bool) -> int:
    """Bytes beyond those that stood before the first step."""
    took = stepper(network, device, recomputes=recomputes, bf16=True)
    batch = random_batch(batch_size, size, 100, device)
    before = peak_resident()
    took.run([batch] * 2)
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_resident() - before


def main() -> None:
    """Print two rows."""
    parser = options(__doc__)
    parser.add_argument("--network", default="resnet50", help="of torchvision")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--memory-of", choices=["kept", "recomputed"], help="print these bytes, and nothing else")
    asked = parser.parse_args()
    device = begin(asked)
    if asked.quick:
        asked.network, asked.size, asked.batch_size, asked.rounds = "resnet18", 32, 4, 1
    if asked.memory_of:
        recomputes = asked.memory_of == "recomputed"
        print(memory(asked.network, asked.size, asked.batch_size, device, recomputes=recomputes))
        return
    words = ["--network", asked.network, "--size", str(asked.size), "--batch-size", str(asked.batch_size)]
    found = {}
    for which in ("kept", "recomputed"):
        call = [sys.executable, __file__, *words, "--device", str(device), "--memory-of", which]
        found[which] = json.loads(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
    saved = found["recomputed"] / found["kept"]
    batch = random_batch(asked.batch_size, asked.size, 100, device)
    both = {name: stepper(asked.network, device, recomputes=name == "recomputed", bf16=True) for name in found}

    def step_of(taker: Stepper) -> Callable[[], object]:
        return lambda: taker.run([batch])

    times = take_turns({name: step_of(one) for name, one in both.items()}, asked.rounds, lambda w: seconds(w, device))
    what = f"{asked.network} at {asked.size}, minibatch of {asked.batch_size}"
    rows = [
        Row(
            f"memory, {what}", "kept", f"{saved:.2f} ({found['recomputed'] / 1e6:.0f} of {found['kept'] / 1e6:.0f} MB)"
        ),
        Row(f"time of a step, {what}", "kept", ratio(times["recomputed"], times["kept"])[1]),
    ]
    show("Blocks that are computed again", rows, asked, device)


if __name__ == "__main__":
    main()
