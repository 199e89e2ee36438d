"""What a card says of the recipe: how images are drawn, what was trained against, and what made the run unusual."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hardener.config.brought import methods
from hardener.config.dotted import flat
from hardener.config.schema import Recipe
from hardener.config.section import Ball, Section, key_of
from hardener.reports._markdown import text
from hardener.words import counted

_TOLD = ("noise_sigma", "mixup_alpha", "labels")  # of the vicinity, in the first line


def recipe_lines(recipe: Recipe) -> list[str]:
    """Return a line of the recipe's main choices, and one for each further part that has something to say."""
    parts = {
        "Trained against an attacker": _adversaries(recipe),
        "Augmentation": _augmentations(recipe),
        "Set besides": _besides(recipe),
    }
    lines = [f"- Recipe `{recipe.name}`: {', '.join(_main(recipe))}."]
    return lines + [f"- {title}: {'; '.join(told)}." for title, found in parts.items() if (told := list(found))]


def _main(recipe: Recipe) -> list[str]:
    vicinity, labels, optimizer = recipe.vicinity, recipe.vicinity.labels, recipe.optimizer
    facts = [f"method {recipe.method}", f"batches of {recipe.batch_size}"]
    facts += [f"Gaussian noise {vicinity.noise_sigma:g}"] if vicinity.noise_sigma else []
    facts += [f"mixup {vicinity.mixup_alpha:g}"] if vicinity.mixup_alpha else []
    law = f"label law {labels.law}"
    if labels.law in {"uniform", "budget"}:
        law += f" (smoothing {labels.smoothing:g})"
    facts.append(law)
    facts += [f"classes balanced by {recipe.data.balance}"] if recipe.data.balance != "none" else []
    return [*facts, f"{optimizer.name} with learning rate {optimizer.lr:g}, {optimizer.schedule}"]


def _adversaries(recipe: Recipe) -> Iterator[str]:
    for settings in recipe.vicinity.on().values():
        if isinstance(settings, Ball):
            steps = getattr(settings, "steps", None)
            climb = "" if steps is None else f", {counted(steps, 'step')}"
            changed = _written(
                settings.model_dump(mode="json", exclude_defaults=True, exclude={"norm", "eps", "steps"})
            )
            yield f"{settings.threat}{climb}{f', {changed}' if changed else ''}"


def _augmentations(recipe: Recipe) -> Iterator[str]:
    for key, value in recipe.augment:
        if value:
            yield key if value is True else f"{key}{_settings(value)}"


def _besides(recipe: Recipe) -> Iterator[str]:
    for key, value in recipe.vicinity.on().items():
        if key not in _TOLD and not isinstance(value, Ball):
            yield f"`vicinity.{key}`{_settings(value)}"
    own = key_of(recipe.method, methods()[recipe.method])
    for key in (own, "awp", "averaging", "resize"):
        value = getattr(recipe, key, None)
        if isinstance(value, Section):
            yield f"`{key}`{_settings(value)}"
    usual = {"network": recipe.network, "optimizer": recipe.optimizer, "data": recipe.data}
    told = {"name", "lr", "schedule", "balance", "image_size", "range", "cache", "cache_gb", "checkpoint"}
    for name, section in usual.items():
        for key, value in flat(section.model_dump(mode="json", exclude_defaults=True, exclude=told)):
            yield f"`{name}.{key}`{_settings(value)}"
    for key in ("accumulate", "theta_steps"):
        if getattr(recipe, key) != 1:
            yield f"`{key}` {getattr(recipe, key)}"


def _settings(value: Any) -> str:
    """Write a section in brackets, and any other value after a space."""
    if isinstance(value, Section):
        told = _written(value.model_dump(mode="json"))
        return f" ({told})" if told else ""
    return f" {_value(value)}"


def _written(fields: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_value(value)}" for key, value in flat(fields) if value is not None)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return " ".join(f"`{item}`" if isinstance(item, str) else _value(item) for item in value)
    return ("on" if value else "off") if isinstance(value, bool) else text(str(value))
