"""What training on ImageNet costs: recipes' steps as multiples of a natural one at 224 pixels, and the hours from them.

    python bench/training/imagenet_cost.py --rounds 3

The hours are a formula with the card's own rate in it, images a second of natural training. No card has given it yet:
`bench/gpu/plan.py steps` measures it, and the multiples with it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision
from common import Row, Stepper, begin, options, random_batch, ratio, seconds, show, take_turns
from torch import Tensor

from hardener.config.recipe import load_recipe
from hardener.config.schema import Recipe
from hardener.vicinity.worst_point import Settings as Ball

IMAGES = 1_281_167
NETWORKS = ("resnet50", "convnext_tiny")
RECIPES = ("natural", "hardened", "pgd-at")
EPOCHS = {"natural": 30, "hardened": 30, "pgd-at": 30}
"""A choice, the same for all, so that their costs can be compared; none was trained."""


def share_at_full_cost(recipe: Recipe) -> float:
    """Return the share of a fine-tuning run whose steps attack: of a ramp, all but its quiet beginning."""
    ball = recipe.vicinity.find(Ball)
    quiet = recipe.fine_tuning.get("vicinity", {}).get("adversarial", {}).get("quiet", 0.0)
    return 0.0 if ball is None else 1.0 - quiet


def steps_of(network: str, recipe: str, batch: tuple[Tensor, Tensor], device: torch.device) -> Callable[[], object]:
    """Return what takes a step of a recipe."""
    built = torchvision.models.get_model(network, num_classes=1000)
    stepper = Stepper(built, recipe, device, classes=1000)
    return lambda: stepper.run([batch])


def main() -> None:
    """Print a row a network and recipe."""
    parser = options(__doc__)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--size", type=int, default=224)
    asked = parser.parse_args()
    if asked.quick:
        asked.batch_size, asked.size, asked.rounds = 2, 32, 1
    device = begin(asked)
    rows = []
    for network in NETWORKS:
        batch = random_batch(asked.batch_size, asked.size, 1000, device)
        works = {name: steps_of(network, name, batch, device) for name in RECIPES}
        times = take_turns(works, asked.rounds, lambda work: seconds(work, device))
        for name in RECIPES:
            multiple, told = ratio(times[name], times["natural"])
            attacks = share_at_full_cost(load_recipe(name))
            passes = EPOCHS[name] * (1 - attacks + attacks * multiple)
            hours = f"{passes * IMAGES / 3600:,.0f} / rate"
            rows.append(Row(f"{network}, {name}: a step", "natural", told))
            rows.append(Row(f"{network}, {name}: card hours of {EPOCHS[name]} epochs", "–", hours))
    show("ImageNet at 224 pixels", rows, asked, device)


if __name__ == "__main__":
    main()
