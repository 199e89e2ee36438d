"""SPROUT's three modules, on and off: the eight combinations, and the recipe of each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from hardener.config.ablation_record import MODULES, Module
from hardener.config.dotted import flat, lies_in
from hardener.config.schema import Beta, Labels, Recipe
from hardener.errors import HardenerError

NATURAL = "natural"
_SWITCHES: dict[Module, str] = {
    "noise": "vicinity.noise_sigma=0.1",
    "mixup": "vicinity.mixup_alpha=0.2",
    "labels": "vicinity.labels.law=budget",
}
_SWITCHED = ("vicinity.noise_sigma", "vicinity.mixup_alpha", "vicinity.labels", "beta")


def module_sets() -> list[tuple[Module, ...]]:
    """Return the eight combinations, from none to all."""
    return [chosen for size in range(len(MODULES) + 1) for chosen in combinations(MODULES, size)]


def name_of(modules: Sequence[Module]) -> str:
    """Return what a combination and its run are called."""
    return "+".join(modules) or NATURAL


def recipe_with(base: Recipe, modules: Sequence[Module]) -> Recipe:
    """Return the recipe with these modules as they are and the others switched off."""
    vicinity = base.vicinity
    off: dict[str, Any] = {}
    if "noise" not in modules:
        off["noise_sigma"] = 0.0
    if "mixup" not in modules:
        off["mixup_alpha"] = 0.0
    if "labels" not in modules:
        off["labels"] = Labels(law="one-hot")
    name = base.name if len(modules) == len(MODULES) else f"{base.name}: {name_of(modules)}"
    learned = {} if "labels" in modules else {"beta": Beta(), "beta_batch": "vicinal"}
    return base.model_copy(update={"name": name, "vicinity": vicinity.model_copy(update=off), **learned})


def check_modules(recipe: Recipe) -> None:
    """See that a recipe has all three on, whatever the size of the images.

    Raises:
        HardenerError: one of them is off already, or is set anew for large images.
    """
    for key, _ in flat(recipe.large_images):
        if lies_in(key, _SWITCHED):
            raise HardenerError(
                f"an ablation switches noise, mixup and labels, and the recipe {recipe.name} sets large_images.{key}, "
                "which would set it again in each combination. Leave it out: set the key itself."
            )
    vicinity, labels = recipe.vicinity, recipe.vicinity.labels
    sharp = labels.law == "one-hot" or (labels.law in {"uniform", "budget"} and labels.smoothing == 0)
    is_off = {"noise": vicinity.noise_sigma == 0, "mixup": vicinity.mixup_alpha == 0, "labels": sharp}
    off = [module for module in MODULES if is_off[module]]
    if off:
        verb = "is" if len(off) == 1 else "are"
        turned = " ".join(f"--set {_SWITCHES[module]}" for module in off)
        raise HardenerError(
            f"an ablation switches noise, mixup and labels off, and in the recipe {recipe.name} {', '.join(off)} "
            f"{verb} off already. Take --recipe sprout, or turn {'it' if len(off) == 1 else 'them'} on, such as by "
            f"{turned}."
        )
