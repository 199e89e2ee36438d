"""What follows from what a recipe says, where nothing else is said: an optimiser's rate, and validation's question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from hardener.config.dotted import first_of, put_value, value_of
from hardener.config.quantity import parse_quantity
from hardener.config.schema import OPTIMIZERS, Validation
from hardener.errors import HardenerError
from hardener.threat import NORMS

ATTACK = "vicinity.adversarial"
CONDITIONAL = ("fine_tuning", "large_images")
"""A recipe's sections that hold fields of their own for trained weights and for large images."""
_NORM = str(Validation.model_fields["norm"].default)
_Reader = Callable[[str], Any]


def add_rates(fields: dict[str, Any], before: Mapping[str, Any] = MappingProxyType({})) -> dict[str, float]:
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
    yield "", fields, partial(value_of, before)
    for name in CONDITIONAL:
        part = fields.get(name)
        if isinstance(part, dict):
            yield f"{name}.", part, partial(first_of, (before.get(name), fields, before))


def follow_attack(fields: dict[str, Any], before: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
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


def replace_attack(written: dict[str, Any], *asked: dict[str, Any]) -> None:
    """Take an attack out of a recipe with the question that follows it; one asked for instead has a norm by default."""
    for name in ("norm", "eps"):
        told = partial(value_of, written)
        if told(f"validation.{name}") is not None and not is_apart(told, name):
            written["validation"].pop(name)
    put_value(written, ATTACK, {}, ATTACK)
    for fields in asked:
        value_of(fields, ATTACK).setdefault("norm", _NORM)


def _followed(part: dict[str, Any], beneath: _Reader) -> dict[str, Any]:
    """Put into a part of a recipe what `follow_attack` says, and return that; `beneath`: what the part lies upon."""
    added: dict[str, Any] = {}
    if "validation" in part and not isinstance(part["validation"], dict):  # that is told when the whole is checked
        return added
    under, usual = beneath(f"{ATTACK}.norm") or _NORM, {name: entry.default_eps for name, entry in NORMS.items()}
    attack, eps = value_of(part, f"{ATTACK}.norm") or under, value_of(part, f"{ATTACK}.eps")
    if eps is None and attack != under and str(attack) in usual:
        eps = added[f"{ATTACK}.eps"] = usual[str(attack)]
    for name, asked in (("norm", value_of(part, f"{ATTACK}.norm")), ("eps", eps)):
        if asked and not is_apart(beneath, name) and value_of(part, f"validation.{name}") is None:
            added[f"validation.{name}"] = asked
    norm = value_of(part, "validation.norm")
    if norm is not None and norm != attack:  # validation asks another question on purpose, and not at training's eps
        added.pop("validation.eps", None)
        own = value_of(part, "validation.eps")
        if own is None and norm != (beneath("validation.norm") or _NORM) and str(norm) in usual:
            added["validation.eps"] = usual[str(norm)]
    for key, value in added.items():
        put_value(part, key, value, key)
    return added


def is_apart(told: _Reader, name: str) -> bool:
    """Say whether validation asks at a norm or an eps that is not the one which training attacks at."""
    own = told(f"validation.{name}")
    return own is not None and _number(own) != _number(told(f"{ATTACK}.{name}"))


def _number(value: Any) -> Any:
    """Return `8/255` and the like as numbers, and anything else as it is."""
    try:
        return parse_quantity(value)
    except HardenerError:
        return value
