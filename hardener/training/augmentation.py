"""What a recipe's section `augment` comes to on the images at hand: policy, mirroring, and what needs colour."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from hardener.config.brought import augmentations
from hardener.config.recipe import check_recipe
from hardener.config.schema import Augment, Recipe
from hardener.config.section import Section, key_of
from hardener.errors import HardenerError
from hardener.progress import Reporter
from hardener.words import listed

_DIGITS = "zero|one|two|three|four|five|six|seven|eight|nine"
_SIGN = re.compile(rf"(digit|number|letter|char|character|sample)?[\W_]*([a-z]|\d+|{_DIGITS})", re.IGNORECASE)
_SIDED = re.compile(r"(?:^|[\W_\d]|(?<=[a-z])(?=[A-Z]))(?:(?i:left|right)(?:[\W_\d]|$)|(?:[Ll]eft|[Rr]ight)(?=[A-Z]))")
SMALL = 64
"""Pixels: images with a shorter side are shifted, as larger ones are cropped."""


@dataclass(frozen=True)
class Pictured:
    """What is to be augmented: how many images of which size, with colour or none, of which classes."""

    height: int
    width: int
    count: int
    color: bool
    classes: Sequence[str]


def settle_augmentation(recipe: Recipe, images: Pictured, reporter: Reporter, *, told: Collection[str] = ()) -> Recipe:
    """Return the recipe with an `augment` that leaves nothing open, and say what was decided.

    Args:
        told: keys of `augment` that were set; a policy leaves them as they are, also where that is the default. A run's
            own file sets them all, which is not meant so.
    Raises:
        HardenerError: an augmentation needs colour, and the images have none.
    """
    asked = recipe.augment
    if asked.policy is not None:
        told = () if set(told) == set(type(asked).model_fields) else told
        recipe = _with(recipe, {**_policy(asked, images, told), "policy": None})
    _check_color(recipe.augment, images)
    if recipe.augment.flip == "auto":
        flip, why = mirrors(images)
        reporter.say(why)
        recipe = _with(recipe, {"flip": flip})
    if asked.policy is not None:
        reporter.say(f"augment.policy={asked.policy} for {images.count:,} images of {images.height}x{images.width} is "
                     f"{_described(recipe.augment)}")  # fmt: skip
    return recipe


def mirrors(images: Pictured) -> tuple[bool, str]:
    """Return whether images may be mirrored where nobody said so, and why, in a line for the user."""
    sided = [name for name in images.classes if _SIDED.search(name)]
    if not images.color:
        why = "the images are gray, as digits, letters and scans are"
    elif all(_SIGN.fullmatch(name) for name in images.classes):
        shown = listed(images.classes, 3)
        why = f"the classes ({shown}{', …' if len(images.classes) > 3 else ''}) look like digits or letters"
    elif sided:
        why = f"the class {sided[0]} tells sides apart"
    else:
        return True, (
            "half of the training images are mirrored, as photographs can be; where left and right matter: --set "
            "augment.flip=false"
        )
    return False, f"no training image is mirrored: {why}. --set augment.flip=true does it all the same"


def _with(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """Return the recipe with other values in its section `augment`."""
    fields = recipe.model_dump(mode="json")
    fields["augment"].update(changes)
    return check_recipe(fields, recipe.name)


def _policy(asked: Augment, images: Pictured, told: Collection[str]) -> dict[str, Any]:
    """Return what a policy sets; what the recipe has otherwise than by default, or was told, stays."""
    small = min(images.height, images.width) < SMALL
    found: dict[str, Any] = {"shift": 0.125 if small or asked.policy == "light" else 0.0}
    if asked.policy != "light" and not small:
        least = 0.35 if images.count < 10_000 else 0.2 if images.count < 100_000 else 0.08
        found["crop"] = {"least": least}
    if asked.policy == "standard":
        found |= {"erase": {}} if small else {"color": {} if images.color else {"saturation": 0}}
    if asked.policy == "strong":
        found |= {"trivial": {}, "erase": {}}
    return {key: value for key, value in found.items() if getattr(asked, key) == _default(key) and key not in told}


def _default(key: str) -> Any:
    """Return what a recipe holds that says nothing of it."""
    return Augment.model_fields[key].default if key in Augment.model_fields else None


def _check_color(augment: Augment, images: Pictured) -> None:
    if images.color:
        return
    needs = [
        f"augment.{key}.{setting}"
        for name, entry in augmentations().items()
        if isinstance(section := getattr(augment, (key := key_of(name, entry)), None), Section)
        for setting in getattr(entry, "needs_color", ())
        if getattr(section, setting)
    ]
    if needs:
        raise HardenerError(
            f"the images are gray, and {' and '.join(needs)} need{'s' if len(needs) == 1 else ''} colour. Leave "
            f"{'it' if len(needs) == 1 else 'them'} out: {' '.join(f'--set {name}=0' for name in needs)}."
        )


def _described(augment: Augment) -> str:
    """Return what is on, in the order that it is applied in."""
    on = augment.on()
    keys = [key for name, entry in augmentations().items() if (key := key_of(name, entry)) in on]
    return ", ".join(_shown(key, on[key]) for key in keys) or "nothing"


def _shown(key: str, value: Any) -> str:
    if value is True:
        return key
    if not isinstance(value, Section):
        return f"{key} {value:g}"
    changed = {name: set_to for name, set_to in value if set_to != type(value).model_fields[name].default}
    return " ".join([key, *(f"{name} {set_to:g}" for name, set_to in changed.items())])
