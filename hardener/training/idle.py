"""What a recipe sets that changes nothing beside the rest, with what would make it work."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from hardener.config.dotted import put_value
from hardener.config.recipe import check_recipe, load_recipe, recipe_files
from hardener.config.schema import Recipe
from hardener.data.data_set import DataSet
from hardener.data.loader import ImageShape
from hardener.errors import HardenerError
from hardener.training.build import optimizer_class
from hardener.training.resizing import STEP, size_in
from hardener.vicinity.worst_point import Settings as Ball

_LABELS: Mapping[str, set[str]] = {
    "one-hot": set(),
    "uniform": {"smoothing"},
    "budget": {"draw", "smoothing"},  # and how far draws lie from their mean, where any are made
    "paper": {"draw", "alpha"},
    "paper-printed": {"draw", "alpha"},
    "reference": {"draw", "scale"},
}
"""Law -> the fields of `vicinity.labels` that it reads."""


def idle(asked: Recipe, settled: Recipe) -> Iterator[str]:
    """Yield what was set and does nothing, a line each.

    Args:
        asked: the recipe as it was asked for.
        settled: as it is for the weights to start from and the size of the images.
    """
    ours = load_recipe(asked.name) if asked.name in recipe_files() else None
    yield from _of_the_climb(asked, settled)
    yield from _of_labels(asked, settled, ours)
    yield from _of_the_vector(asked, settled, ours)
    yield from _of_the_optimizer(asked, settled, ours)
    if settled.batch_size == 1 and (
        mixed := [key for key in ("mixup_alpha", "cutmix") if key in settled.vicinity.on()]
    ):
        yield f"{' and '.join(mixed)} in vicinity does nothing: a minibatch of one image holds no other to mix it with"
    average = settled.averaging
    if "decay" in _told(asked, ours, "averaging") and average is not None and average.name == "swa":
        yield "averaging.decay does nothing for the plain mean of swa. --set averaging.name=ema decays"


def idle_here(recipe: Recipe, folder: DataSet, shape: ImageShape) -> Iterator[str]:
    """Yield what does nothing with these images, a line each."""
    for split, share in (("validation", "val_fraction"), ("test", "test_fraction")):
        asked, standard = getattr(recipe.data, share), type(recipe.data).model_fields[share].default
        if asked != standard and split not in folder.drawn:
            yield f"data.{share}={asked:g} does nothing: no {split} split is drawn, since the data is divided already"
    if recipe.data.group_by is not None and not folder.drawn:
        yield f"data.group_by={recipe.data.group_by} draws nothing: the data is divided already, and stays so"
    whole, resize = (shape.height, shape.width), recipe.resize
    if resize is not None and size_in(resize, 0, recipe.epochs, *whole) == whole:
        yield (
            f"resize.first={resize.first:g} does nothing: images of {shape.height}x{shape.width} are too small for "
            f"sides in steps of {STEP}. Leave it out"
        )


def _told(own: Any, ours: Any, section: str) -> set[str]:
    """Return the fields of a section that were set otherwise than by default, and than in our recipe of that name.

    A run's own file sets all fields, and a recipe of ours some that its user may have switched off.
    """
    own, ours = getattr(own, section), getattr(ours, section, None)
    found = set() if own is None else own.model_fields_set
    standard = {name: type(own).model_fields[name].get_default(call_default_factory=True) for name in found}
    return {n for n, usual in standard.items() if getattr(own, n) not in (usual, getattr(ours, n, usual))}


def _takes(recipe: Recipe, key: str, value: str | float) -> bool:
    """Say whether a recipe may have another value under a dotted key."""
    fields = recipe.model_dump(mode="json")
    try:
        put_value(fields, key, value, key)
        check_recipe(fields, recipe.name)
    except HardenerError:
        return False
    return True


def _instead(recipe: Recipe, key: str, value: str, does: str) -> str:
    """Say what to type so that a setting works, or that it can only be left out."""
    return f"--set {key}={value} {does}" if _takes(recipe, key, value) else "Leave it out"


def _of_the_climb(asked: Recipe, settled: Recipe) -> Iterator[str]:
    ball, own = settled.vicinity.find(Ball), asked.vicinity.find(Ball)
    if own is None or ball is None:
        return
    standard = type(own).model_fields
    told = [f"{n}={getattr(own, n):g}" for n in ("quiet", "full") if getattr(own, n) != standard[n].default]
    if told and ball.schedule == "constant":
        raises = _instead(settled, "vicinity.adversarial.schedule", "ramp", "lets it rise")
        yield f"{' and '.join(told)} in vicinity.adversarial: eps does not rise, so that this does nothing. {raises}"
    if own.last_steps is not None and own.last_steps <= ball.steps:
        yield (
            f"last_steps={own.last_steps} in vicinity.adversarial does nothing: all steps of a run climb by "
            f"{ball.steps} already. --set vicinity.adversarial.last_steps={ball.steps + 1} climbs further in its last "
            "quarter"
        )


def _of_labels(asked: Recipe, settled: Recipe, ours: Recipe | None) -> Iterator[str]:
    labels, told = settled.vicinity.labels, _told(asked.vicinity, ours and ours.vicinity, "labels") - {"law"}
    if labels.law == "one-hot":
        if told:
            smooths = _instead(settled, "vicinity.labels.law", "uniform", "smooths them")
            yield (
                f"{' and '.join(sorted(told))} in vicinity.labels: the labels stay as they are, so that this does "
                f"nothing. {smooths}"
            )
        return
    draws = labels.law == "budget" and labels.draw == "sampled"
    reads = _LABELS[labels.law] | ({"total_concentration"} if draws else set())
    if spare := sorted(told - reads):
        yield (
            f"{' and '.join(spare)} in vicinity.labels does nothing: the law {labels.law} "
            f"{'with the mean of its draws ' * (labels.law == 'budget' and spare == ['total_concentration'])}reads "
            f"{' and '.join(sorted(reads))} alone"
        )


def _of_the_vector(asked: Recipe, settled: Recipe, ours: Recipe | None) -> Iterator[str]:
    learns = settled.vicinity.labels.law not in {"one-hot", "uniform"}
    told = sorted(_told(asked, ours, "beta") - ({"learn"} if learns else set()))
    if not learns and told:
        yield (
            f"{' and '.join(told)} in beta: no vector is learned for the labels, so that this does nothing. "
            f"{_instead(settled, 'vicinity.labels.law', 'budget', 'learns one')}"
        )
    elif told and not settled.beta.learn:
        yield f"{' and '.join(told)} in beta does nothing: beta.learn=false keeps the vector as it starts"
    if asked.beta_batch not in ("vicinal", ours and ours.beta_batch) and not (learns and settled.beta.learn):
        yield "beta_batch=clean does nothing: no vector is learned for the labels"


def _of_the_optimizer(asked: Recipe, settled: Recipe, ours: Recipe | None) -> Iterator[str]:
    told, optimizer = _told(asked, ours, "optimizer"), settled.optimizer
    if "milestones" in told and optimizer.schedule != "step":
        yield "optimizer.milestones does nothing without --set optimizer.schedule=step"
    spare = sorted({"momentum", "nesterov"} & told - inspect.signature(optimizer_class(optimizer)).parameters.keys())
    if spare:
        yield f"{' and '.join(spare)} in optimizer does nothing: {optimizer.name} has none. Leave it out"
    half = settled.epochs / 2
    if "warmup_epochs" in told and optimizer.warmup_epochs > half:
        yield (
            f"optimizer.warmup_epochs={optimizer.warmup_epochs:g} is cut to {half:g}: the learning rate rises over "
            f"half of the {settled.epochs} epochs at most"
        )
