"""How a run normalises its images, where its network may do so by itself, or its weights tell."""

from __future__ import annotations

from hardener.config.schema import Recipe
from hardener.models.build import Built
from hardener.models.checkpoints.weights import Loaded
from hardener.models.conditions import noise
from hardener.models.normalization_done import BYTES
from hardener.models.origin import normalization_of_origin, other_normalization
from hardener.models.own_normalization import fault_of_normalization, normalization_of
from hardener.progress import Reporter
from hardener.training.request import TrainRequest


def choose_normalization(
    built: Built, recipe: Recipe, request: TrainRequest, began: Loaded, reporter: Reporter
) -> tuple[str, Recipe]:
    """Choose how images are normalised: what the network does by itself is left to it.

    Else it is as for the weights that it starts from where these tell, unless something else was asked for.

    Returns:
        The choice, and the recipe, which holds what the weights tell: the run is asked for again by it.
    """
    asked, images = recipe.data.normalize, noise(2, built.channels, built.height, built.width)
    own = normalization_of(built.network, images) if asked == "data" else None
    if own is not None and own.of_bytes:
        reporter.say(
            f"the model takes numbers from 0 to 255 ({own.told}): it is given them, as with --normalize {BYTES}"
        )
        return own.normalize, recipe
    if own is not None:
        reporter.say(f"the model normalises images by itself ({own.told}): nothing else does, as with --normalize none")
        return own.normalize, recipe
    theirs = normalization_of_origin(built, began.told)
    if theirs is not None and "normalize" not in request.recipe.data.model_fields_set:
        reporter.say(f"images are normalised by {theirs}, as for {request.init}. --normalize data takes your own")
        return theirs, recipe.model_copy(update={"data": recipe.data.model_copy(update={"normalize": theirs})})
    fault = fault_of_normalization(built.network, asked, began.normalization, images)
    if fault is None and request.init is not None:
        fault = other_normalization(built, began.told, request.init, asked)
    if fault is not None:
        reporter.warn(fault)
    return asked, recipe
