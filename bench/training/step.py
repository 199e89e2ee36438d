"""What a step of each recipe costs, against a step of natural training by the same loop; and peak memory.

`python bench/training/step.py --network cifar_resnet --network resnet18`. Steps of all recipes take turns on random
images of 32x32, each recipe with a network of its own. On a processor its time is counted, not the clock's. A
minibatch of `free-at` has four replays, each a step; it is counted as the minibatch. Peak memory is that of a fresh
process which takes three steps: what CUDA allocated, or the resident set beyond what stood before the first step.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial

import torch
from cifar_networks import NETWORKS
from common import Row, Stepper, begin, options, peak_resident, random_batch, ratio, seconds, show, take_turns

from hardener.config.recipe import recipe_files

GOALS = {"cuda": 1.05, "cpu": 1.10}
MEMORY_GOAL = 1.05


def measure_memory(network: str, recipe: str, batch_size: int, device: torch.device) -> int:
    """Bytes beyond those that stood before the first step."""
    stepper = Stepper(NETWORKS[network](10), recipe, device)
    batch = random_batch(batch_size, 32, 10, device)
    before = peak_resident()
    stepper.run([batch] * 3)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_resident() - before


def memory_in_a_fresh_process(network: str, recipe: str, batch_size: int, device: torch.device) -> int:
    """The same, where nothing else has used memory before."""
    words = ["--network", network, "--memory-of", recipe, "--batch-size", str(batch_size), "--device", str(device)]
    found = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
    return int(json.loads(found.stdout))


def main() -> None:
    """Print a row a recipe and network."""
    parser = options(__doc__)
    parser.add_argument("--network", action="append", choices=NETWORKS, help="repeatable")
    parser.add_argument("--recipe", action="append", help="repeatable; all of them by default")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=2, help="of each recipe in a turn")
    parser.add_argument("--memory-of", help="print the peak memory of this recipe's steps, in bytes, and nothing else")
    asked = parser.parse_args()
    device = begin(asked)
    networks = asked.network or ["cifar_resnet", "resnet18"]
    if asked.memory_of:
        print(measure_memory(networks[0], asked.memory_of, asked.batch_size, device))
        return
    recipes = asked.recipe or list(recipe_files())
    if asked.quick:
        networks, asked.batch_size, asked.rounds, asked.steps = ["cifar_fast"], 16, 2, 1
    rows = []
    for name in networks:
        batch = random_batch(asked.batch_size, 32, 10, device)
        steppers = {recipe: Stepper(NETWORKS[name](10), recipe, device) for recipe in {"natural", "sprout", *recipes}}
        works = {recipe: partial(stepper.run, [batch] * asked.steps) for recipe, stepper in steppers.items()}
        found = take_turns(works, asked.rounds, partial(seconds, device=device))
        middle, shown = ratio(found["sprout"], found["natural"])
        goal = GOALS[device.type]
        rows.append(Row(f"a SPROUT step, {name}", "a natural step", shown, f"≤ {goal}", middle <= goal))
        for recipe in recipes:
            if recipe not in {"natural", "sprout"}:
                against_natural = ratio(found[recipe], found["natural"])[1]
                against_sprout = ratio(found[recipe], found["sprout"])[0]
                shown = f"{against_natural}; {against_sprout:.2f} SPROUT steps"
                rows.append(Row(f"a {recipe} minibatch, {name}", "a natural step", shown))
        peaks = {
            recipe: memory_in_a_fresh_process(name, recipe, asked.batch_size, device)
            for recipe in ("natural", "sprout")
        }
        if not all(peaks.values()):
            continue  # so small a network and minibatch fit into what the process held already
        middle = peaks["sprout"] / peaks["natural"]
        shown = f"{middle:.3f} ({peaks['sprout'] / 1e6:.0f} MB, {peaks['natural'] / 1e6:.0f} MB)"
        rows.append(
            Row(
                f"peak memory of a SPROUT step, {name}",
                "a natural step",
                shown,
                f"≤ {MEMORY_GOAL}",
                middle <= MEMORY_GOAL,
            )
        )
    show(f"steps on minibatches of {asked.batch_size} at 32x32, bfloat16", rows, asked, device)


if __name__ == "__main__":
    main()
