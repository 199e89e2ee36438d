"""YAML and `key=value` overrides -> a checked recipe."""

from __future__ import annotations

import contextlib
import copy
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError

from hardener.config.brought import augmentations, method_sections, methods, vicinities, with_methods, with_sections
from hardener.config.dotted import flat, holds_one, lies_in, nested, put_value, value_of
from hardener.config.fault import all_faults, keys_of
from hardener.config.files import packaged_folder
from hardener.config.following import ATTACK, CONDITIONAL, add_rates, follow_attack, is_apart, replace_attack
from hardener.config.schema import Augment, Recipe, Vicinity
from hardener.config.yaml_file import read_yaml
from hardener.errors import HardenerError, did_you_mean

LARGE_SIDE = 64
"""Pixels of the shorter side from which on images count as large; see `Recipe.large_images`."""
_FINE_TUNED = "Fine-tuned:"
_WHOLE = frozenset(name for name, field in Recipe.model_fields.items() if field.default is not None)
"""Fields that are never null: one without a value in a file, its lines commented out, is one that is left out."""
_SETTLED_BEFORE = ("data.", "network.", "name", *CONDITIONAL)
"""What is used before weights and size are known, so that no such section may change it."""


def recipe_files() -> dict[str, Path]:
    """Return the known recipes, name -> file; the folder is the registry."""
    return {path.stem: path for path in sorted(packaged_folder("recipes").glob("*.yaml"), key=lambda file: file.stem)}


def recipe_header(path: Path) -> str:
    """Return the comment that opens a recipe file, without the comment signs."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines)


def fine_tuned() -> dict[str, str]:
    """Return what recipes gave that were fine-tuned for their header: name -> the text of its line `Fine-tuned:`."""
    found: dict[str, str] = {}
    for name, path in recipe_files().items():
        for line in recipe_header(path).splitlines():
            if line.startswith(_FINE_TUNED):
                found[name] = line.removeprefix(_FINE_TUNED).strip()
    return found


def load_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe by name or path, put `key=value` overrides on top, and check the whole.

    Args:
        name: a file of the recipes folder without its ending, or the path of a YAML file.
        overrides: such as `optimizer.lr=0.1`; the value is read as YAML.
    Raises:
        HardenerError: unknown recipe or key (the nearest is offered), or values out of range, all together.
    """
    path = _recipe_file(name)
    fields = {key: value for key, value in read_yaml(path).items() if value is not None or key not in _WHOLE}
    fields.setdefault("name", path.stem)
    add_rates(fields)
    standard = flat(Recipe.model_fields["fine_tuning"].default)
    fields.setdefault("fine_tuning", nested({key: value for key, value in standard if value_of(fields, key) is None}))
    follow_attack(fields)
    asked: dict[str, Any] = {}
    written = copy.deepcopy(fields)
    for override in overrides:
        _put(fields, override)
        _put(asked, override)
    last = {override.partition("=")[0] for override in overrides}
    if isinstance(value_of(asked, ATTACK), dict) and lies_in(ATTACK, last):  # all of it is replaced
        replace_attack(written, asked, fields)
    rates, followed = add_rates(asked, written), follow_attack(asked, written)
    for key, value in {**rates, **followed}.items():
        put_value(fields, key, value, key)
    last |= rates.keys()
    recipe = check_recipe(fields, str(path.name))
    check_asked(recipe, str(path.name))
    kept = {}
    for name in CONDITIONAL:
        told = partial(value_of, written.get(name))
        kept_apart = {f"validation.{one}" for one in ("norm", "eps") if is_apart(told, one)}
        beaten = last | (followed.keys() - kept_apart)
        whole = flat(getattr(recipe, name))
        kept[name] = [(k, v) for k, v in whole if not lies_in(k, beaten) and not holds_one(k, beaten)]
    left = {n: nested(dict(fields)) for n, fields in kept.items()}
    recipe = recipe.model_copy(update=left)
    try:
        settle(recipe, trained=True, side=LARGE_SIDE)  # its faults are told now, and not when the images are read
    except HardenerError:
        if not last or any(lies_in(key, CONDITIONAL) for key in last):
            raise
        load_recipe(str(path))  # it is right by itself, so what is asked for is wrong for some starts alone
    return recipe


def new_recipe(name: str, overrides: Sequence[str] = (), given: Mapping[str, object] = MappingProxyType({})) -> Recipe:
    """Read a recipe that is about to be trained by, as `load_recipe` does, and refuse what it would drop.

    That is a setting of a method which the recipe does not train by. In a file such a section may stand as it is by
    default: version 0.1 wrote that of TRADES into the recipes of all runs.

    Args:
        given: what options of their own set, dotted key -> value; None: nothing.
    Raises:
        HardenerError: as `load_recipe` does; or which setting, or that one is given both ways, as two values.
    """
    keys = [key for key, value in given.items() if value is not None]
    own = [f"{key}={given[key]}" for key in keys]
    recipe, written = load_recipe(name, [*own, *overrides]), read_yaml(_recipe_file(name))
    twice = [(text, key) for text, key in product(overrides, keys) if lies_in(key, [text.partition("=")[0]])]
    if twice:
        before, after = (one.model_dump() for one in (load_recipe(name, own), recipe))
        for text, key in twice:
            if value_of(before, key) != value_of(after, key):
                raise HardenerError(f"--set {text}: an option of its own gives {key} as {given[key]}. Leave one out.")
    for key, entry in method_sections(but=recipe.method).items():
        asked = [f"--set {text}" for text in overrides if lies_in(key, [re.split("[.=]", text)[0]])]
        usual = entry.load_settings()()
        if key in written and usual.model_validate(written[key]) != usual:
            asked += [f"{place}={value}" for place, value in flat({key: written[key]})]
        if asked:
            raise HardenerError(
                f"{asked[0]} sets nothing of {recipe.name}, which trains by the method {recipe.method}. Leave it out, "
                "or take a recipe of that method: hardener recipes"
            )
    return recipe


def _recipe_file(name: str) -> Path:
    """Return the file of a recipe by name or path.

    Raises:
        HardenerError: there is none.
    """
    known = recipe_files()
    if name in known:
        path = known[name]
    elif name.endswith((".yaml", ".yml")):
        path = Path(name)
        if path.is_dir():
            raise HardenerError(_folder_told(path))
        if not path.is_file():
            raise HardenerError(f"no recipe file {name}.")
        if not read_yaml(path):
            raise HardenerError(
                f"{name} holds no key: is it the file that is meant? All as it is by default is --recipe natural"
            )
    else:
        if Path(name).is_dir():
            raise HardenerError(_folder_told(Path(name)))
        listed = ", ".join(known)
        raise HardenerError(f"unknown recipe {name!r}. Known: {listed}.{did_you_mean(name, known)}")
    return path


def _folder_told(folder: Path) -> str:
    """Say what a folder is that stands in the place of a recipe, and which of its files can be meant."""
    if (own := folder / "recipe.yaml").is_file():
        return f"{folder} is a run. Its recipe is the file {own}: --recipe {shlex.quote(str(own))}"
    held = sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})
    line = f" Name a file in it, such as --recipe {shlex.quote(str(held[0]))}" if held else ""
    return f"{folder} is a folder, and a recipe is a YAML file or one of: {', '.join(recipe_files())}.{line}"


def settle(recipe: Recipe, *, trained: bool, side: int) -> tuple[Recipe, dict[str, Any]]:
    """Put in what a recipe holds for trained weights and for large images, as far as it applies.

    Args:
        trained: the network starts from trained weights.
        side: pixels of the shorter side of the images that it gets.
    Returns:
        The recipe, with both sections empty, and the fields that they changed: dotted key -> value as it is written.
    Raises:
        HardenerError: a section names an unknown field, one that must be known before, or a wrong value.
    """
    applies = {"fine_tuning": trained, "large_images": side >= LARGE_SIDE}
    given: dict[str, Any] = {}
    fields = recipe.model_dump(mode="json")
    for name in CONDITIONAL:
        fields[name] = {}
        for key, value in flat(getattr(recipe, name) if applies[name] else {}):
            if f"{key}.".startswith(_SETTLED_BEFORE):
                raise HardenerError(f"{recipe.name}: {name} cannot change {key}. Set it in the recipe itself.")
            put_value(fields, key, value, f"{recipe.name}: {name}: {key}")
            given[key] = value
    if not given:
        return recipe.model_copy(update={name: {} for name in CONDITIONAL}), given
    applied = " and ".join(name for name in CONDITIONAL if applies[name] and getattr(recipe, name))
    return check_recipe(fields, f"{recipe.name} with its {applied}"), given


def check_recipe(fields: dict[str, Any], source: str) -> Recipe:
    """Turn a mapping into a recipe; all faults are reported together.

    A section of another method than the recipe's is checked and left out: runs of version 0.1 hold `trades` in all
    recipes.

    Raises:
        HardenerError: unknown keys, wrong types, values out of range.
    """
    model = with_methods(
        Recipe,
        fields,
        vicinity=with_sections(Vicinity, vicinities(), fields.get("vicinity")),
        augment=with_sections(Augment, augmentations(), fields.get("augment")),
    )
    try:
        recipe = model.model_validate(fields)
        spare = method_sections(but=recipe.method).keys() & fields.keys()
        return recipe if not spare else check_recipe({k: v for k, v in fields.items() if k not in spare}, source)
    except ValidationError as error:
        told = all_faults(error, [*keys_of(model), *method_sections()])
        raise HardenerError(f"{source}: {told}") from None


def check_asked(recipe: Recipe, source: str) -> None:
    """Refuse what a new recipe asks for and would not get. Recipes of older runs hold it, and are read all the same.

    Raises:
        HardenerError: what, and what to set instead.
    """
    options, on = recipe.optimizer.options, recipe.vicinity.on()
    mixed = [f"vicinity.{key}" for key in ("mixup_alpha", "cutmix") if key in on]
    faults = [
        f"optimizer.options.{name} has a field of its own: set optimizer.{name}={options[name]} instead"
        for name in ("lr", "weight_decay")
        if name in options
    ]
    if mixed and recipe.batch_size <= recipe.accumulate > 1:
        faults.append(
            f"accumulate={recipe.accumulate} of batch_size={recipe.batch_size} leaves pieces of one image, and "
            f"{mixed[0]} mixes within a piece: lower accumulate"
        )
    if getattr(methods()[recipe.method], "replays", False) and recipe.theta_steps < 2:
        faults.append(
            f"method {recipe.method} meets a minibatch with what climbed for the one before, unless it replays each: "
            "set theta_steps as well, such as theta_steps=4"
        )
    if faults:
        raise HardenerError(f"{source}: {'. '.join(faults)}.")


def _put(fields: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise HardenerError(f"--set takes key=value, such as optimizer.lr=0.1; got {override!r}.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        if "{group}" not in text:  # a pattern of names, which YAML takes for the beginning of a mapping
            raise HardenerError(f"--set {override!r}: the value is not YAML.") from None
        value = text
    if isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    put_value(fields, key, value, f"--set {override!r}")
