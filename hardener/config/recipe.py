"""YAML and `key=value` overrides -> a checked recipe."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError

from hardener.config.brought import augmentations, method_sections, methods, vicinities, with_methods, with_sections
from hardener.config.fault import all_faults, keys_of
from hardener.config.files import packaged_folder
from hardener.config.quantity import parse_quantity
from hardener.config.schema import OPTIMIZERS, Augment, Recipe, Validation, Vicinity
from hardener.errors import HardenerError, did_you_mean
from hardener.threat import NORMS

LARGE_SIDE = 64
"""Pixels of the shorter side from which on images count as large; see `Recipe.large_images`."""
_FINE_TUNED = "Fine-tuned:"
_ATTACK = "vicinity.adversarial"
_NORM = str(Validation.model_fields["norm"].default)
_Reader = Callable[[str], Any]
_CONDITIONAL = ("fine_tuning", "large_images")
_SETTLED_BEFORE = ("data.", "network.", "name", *_CONDITIONAL)
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
    known = recipe_files()
    if name in known:
        path = known[name]
    elif name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise HardenerError(f"no recipe file {name}.")
    else:
        listed = ", ".join(known)
        raise HardenerError(f"unknown recipe {name!r}. Known: {listed}.{did_you_mean(name, known)}")
    fields = read_yaml(path)
    fields.setdefault("name", path.stem)
    _add_rates(fields)
    standard = flat(Recipe.model_fields["fine_tuning"].default)
    fields.setdefault("fine_tuning", _nested({key: value for key, value in standard if _value(fields, key) is None}))
    _follow_attack(fields)
    asked: dict[str, Any] = {}
    written = copy.deepcopy(fields)
    for override in overrides:
        _put(fields, override)
        _put(asked, override)
    last = {override.partition("=")[0] for override in overrides}
    if isinstance(_value(asked, _ATTACK), dict) and _lies_in(_ATTACK, last):  # all of it is replaced
        _replace_attack(written, asked, fields)
    rates, followed = _add_rates(asked, written), _follow_attack(asked, written)
    for key, value in {**rates, **followed}.items():
        _put_value(fields, key, value, key)
    last |= rates.keys()
    recipe = check_recipe(fields, str(path.name))
    check_asked(recipe, str(path.name))
    kept = {}
    for name in _CONDITIONAL:
        told = partial(_value, written.get(name))
        kept_apart = {f"validation.{one}" for one in ("norm", "eps") if _is_apart(told, one)}
        beaten = last | (followed.keys() - kept_apart)
        whole = flat(getattr(recipe, name))
        kept[name] = [(k, v) for k, v in whole if not _lies_in(k, beaten) and not _holds_one(k, beaten)]
    left = {n: _nested(dict(fields)) for n, fields in kept.items()}
    recipe = recipe.model_copy(update=left)
    settle(recipe, trained=True, side=LARGE_SIDE)  # its faults are told now, and not when the images are read
    return recipe


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
    for name in _CONDITIONAL:
        fields[name] = {}
        for key, value in flat(getattr(recipe, name) if applies[name] else {}):
            if f"{key}.".startswith(_SETTLED_BEFORE):
                raise HardenerError(f"{recipe.name}: {name} cannot change {key}. Set it in the recipe itself.")
            _put_value(fields, key, value, f"{recipe.name}: {name}: {key}")
            given[key] = value
    if not given:
        return recipe.model_copy(update={name: {} for name in _CONDITIONAL}), given
    return check_recipe(fields, recipe.name), given


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice: YAML's own readers drop what stood below the first one."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if key.value in lines:
                raise yaml.YAMLError(
                    f"{key.value!r} stands in line {lines[key.value]} and again in line {line}. Put what is below both "
                    "into one."
                )
            lines[key.value] = line
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping.

    Raises:
        HardenerError: not YAML, or no mapping.
    """
    try:
        fields = _Strict(path.read_text(encoding="utf-8")).get_single_data() or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise HardenerError(f"{path} is not YAML: {error}") from None
    if not isinstance(fields, dict):
        raise HardenerError(f"{path} must hold `key: value` lines; it holds a {type(fields).__name__}.")
    return fields


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
        spare = {key for key in method_sections(but=recipe.method) if key in fields}
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


def _add_rates(fields: dict[str, Any], before: Mapping[str, Any] = MappingProxyType({})) -> dict[str, float]:
    """Put the optimiser's own learning rate wherever another one is named, and no rate with it.

    The rate that SGD has elsewhere in the recipe would be thirty times too high for AdamW, and unlearn trained weights.

    Args:
        fields: of a recipe, or what is asked for on top of one; changed in place.
        before: the recipe that it is asked on top of.
    Returns:
        What was put in: dotted key -> rate.
    """
    added: dict[str, float] = {}
    for prefix, part, beneath in _layers(fields, before):
        optimizer = part.get("optimizer")
        known = beneath("optimizer.name") or "sgd"
        if isinstance(optimizer, dict) and "lr" not in optimizer and optimizer.get("name") != known:
            rate = OPTIMIZERS.get(str(optimizer.get("name")))
            if rate is not None:  # an unknown one is told when the whole is checked
                optimizer["lr"] = added[f"{prefix}optimizer.lr"] = rate
    return added


def _layers(fields: dict[str, Any], before: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], _Reader]]:
    """Yield a recipe's fields and those of its sections for trained weights and large images.

    Returns:
        Of each what its keys begin with, its fields, and what reads the value that lies beneath it under a dotted key.
    """
    yield "", fields, partial(_value, before)
    for name in _CONDITIONAL:
        part = fields.get(name)
        if isinstance(part, dict):
            yield f"{name}.", part, partial(_first, (before.get(name), fields, before))


def _first(places: Iterable[Any], key: str) -> Any:
    """Return the value under a dotted key of the first mapping that has one, or None."""
    return next((value for place in places if (value := _value(place, key)) is not None), None)


def _follow_attack(fields: dict[str, Any], before: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Let validation ask at the norm and eps that training attacks with, where it names none of its own.

    Epochs are chosen by that question, and export and service take it over: at another eps it would choose an epoch
    that does not stand what the run is trained for. A norm that comes without an eps has its own usual one.

    Args:
        fields: of a recipe, or what is asked for on top of one; changed in place.
        before: the recipe that it is asked on top of; where that asks at another eps on purpose, it stays.
    Returns:
        What was put in: dotted key -> value.
    """
    added: dict[str, Any] = {}
    for prefix, part, beneath in _layers(fields, before):
        added |= {f"{prefix}{key}": value for key, value in _followed(part, beneath).items()}
    return added


def _replace_attack(written: dict[str, Any], *asked: dict[str, Any]) -> None:
    """Take an attack out of a recipe with the question that follows it; one asked for instead has a norm by default."""
    for name in ("norm", "eps"):
        told = partial(_value, written)
        if told(f"validation.{name}") is not None and not _is_apart(told, name):
            written["validation"].pop(name)
    _put_value(written, _ATTACK, {}, _ATTACK)
    for fields in asked:
        _value(fields, _ATTACK).setdefault("norm", _NORM)


def _followed(part: dict[str, Any], beneath: _Reader) -> dict[str, Any]:
    """Put into a part of a recipe what `_follow_attack` says, and return that; `beneath`: what the part lies upon."""
    added: dict[str, Any] = {}
    if "validation" in part and not isinstance(part["validation"], dict):  # that is told when the whole is checked
        return added
    under, usual = beneath(f"{_ATTACK}.norm") or _NORM, {name: entry.default_eps for name, entry in NORMS.items()}
    attack, eps = _value(part, f"{_ATTACK}.norm") or under, _value(part, f"{_ATTACK}.eps")
    if eps is None and attack != under and str(attack) in usual:
        eps = added[f"{_ATTACK}.eps"] = usual[str(attack)]
    for name, asked in (("norm", _value(part, f"{_ATTACK}.norm")), ("eps", eps)):
        if asked and not _is_apart(beneath, name) and _value(part, f"validation.{name}") is None:
            added[f"validation.{name}"] = asked
    norm = _value(part, "validation.norm")
    if norm is not None and norm != attack:  # validation asks another question on purpose, and not at training's eps
        added.pop("validation.eps", None)
        own = _value(part, "validation.eps")
        if own is None and norm != (beneath("validation.norm") or _NORM) and str(norm) in usual:
            added["validation.eps"] = usual[str(norm)]
    for key, value in added.items():
        _put_value(part, key, value, key)
    return added


def _is_apart(told: _Reader, name: str) -> bool:
    """Say whether validation asks at a norm or an eps that is not the one which training attacks at."""
    own = told(f"validation.{name}")
    return own is not None and _number(own) != _number(told(f"{_ATTACK}.{name}"))


def _number(value: Any) -> Any:
    """Return `8/255` and the like as numbers, and anything else as it is."""
    try:
        return parse_quantity(value)
    except HardenerError:
        return value


def _value(fields: Any, key: str) -> Any:
    """Return what a mapping of mappings holds under a dotted key, or None."""
    for part in key.split("."):
        fields = fields.get(part) if isinstance(fields, Mapping) else None
    return fields


def _put(fields: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise HardenerError(f"--set takes key=value, such as optimizer.lr=0.1; got {override!r}.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise HardenerError(f"--set {override!r}: the value is not YAML.") from None
    if isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    _put_value(fields, key, value, f"--set {override!r}")


def _put_value(fields: dict[str, Any], key: str, value: Any, told: str) -> None:
    """Put a value under a dotted key; `told` says where that stands."""
    *sections, last = key.split(".")
    place = fields
    for section in sections:
        if place.get(section) is None:  # a section that is off
            place[section] = {}
        place = place[section]
        if not isinstance(place, dict):
            raise HardenerError(f"{told}: {section!r} is no section of the recipe.")
    place[last] = value


def _holds_one(key: str, places: Iterable[str]) -> bool:
    """Say whether one of these places of a recipe lies below a dotted key."""
    return any(place.startswith(f"{key}.") for place in places)


def _lies_in(key: str, places: Iterable[str]) -> bool:
    """Say whether a dotted key is one of these places of a recipe, or lies below one."""
    return any(key == place or key.startswith(f"{place}.") for place in places)


def flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a mapping of mappings as dotted keys and values; an empty one is a value."""
    for key, value in fields.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping of mappings from dotted keys."""
    fields: dict[str, Any] = {}
    for key, value in flat.items():
        _put_value(fields, key, value, key)
    return fields
