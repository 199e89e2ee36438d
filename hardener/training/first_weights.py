"""The weights that a run starts from, the final layer that they need, and the normalisation that goes with them."""

from __future__ import annotations

from collections.abc import Sequence

from hardener.config.run_folder import HEAD_BEHIND
from hardener.config.schema import Recipe
from hardener.models.build import Built, fit_head
from hardener.models.doubt import warn
from hardener.models.left_over import beside
from hardener.models.origin import normalization_of_origin, other_normalization, other_size, settle_origin
from hardener.models.own_normalization import fault_of_normalization, own_normalization
from hardener.models.weights import Loaded, Start
from hardener.progress import Reporter
from hardener.training.request import TrainRequest


def give_weights_and_head(
    built: Built, request: TrainRequest, classes: Sequence[str], reporter: Reporter
) -> tuple[Built, str | None, Loaded]:
    """Load the weights to start from, and say what speaks against them.

    Returns:
        The network, the name of the final layer where a fresh one was put in, and what came of loading.
    """
    start = None if request.init is None else Start(request.init, request.allow_pickle, request.weights)
    built, replaced, began = fit_head(built, len(classes), replace=request.replace_head, start=start)
    for remark in began.remarks:
        reporter.say(remark)
    if replaced == HEAD_BEHIND:
        told = built.answer.averaged
        of = f"average of the model's {told}" if told else f"model's {built.outputs} features"
        reporter.say(f"a linear layer is put behind the {of}: {len(classes)} outputs")
    elif replaced:
        reporter.say(f"final layer {replaced} replaced: {built.outputs} → {len(classes)} outputs")
    if request.init is not None and began.extra:
        reporter.warn(beside(request.init, began.extra))
    if request.starts_trained:
        kept = () if replaced else classes  # a fresh layer has learnt none
        activation = request.recipe.network.activation
        remarks, doubts = settle_origin(built, began, request.model, request.init, kept, activation=activation)
        for remark in remarks:
            reporter.say(remark)
        warn(doubts, reporter)
        if (size := other_size(began.told, built.height, built.width)) is not None:
            reporter.say(size)
    return built, replaced, began


def choose_normalization(
    built: Built, recipe: Recipe, request: TrainRequest, began: Loaded, reporter: Reporter
) -> tuple[str, Recipe]:
    """Choose how images are normalised: not at all where the network does it by itself, and as for the weights that it
    starts from where these tell, unless something else was asked for.

    Returns:
        The choice, and the recipe, which holds what the weights tell: the run is asked for again by it.
    """
    asked, own = recipe.data.normalize, own_normalization(built.network)
    if own and asked == "data":
        reporter.say(f"the model normalises images by itself ({own[0]}): nothing else does, as with --normalize none")
        return "none", recipe
    theirs = normalization_of_origin(built, began.told)
    if theirs is not None and "normalize" not in request.recipe.data.model_fields_set:
        reporter.say(f"images are normalised by {theirs}, as for {request.init}. --normalize data takes your own")
        return theirs, recipe.model_copy(update={"data": recipe.data.model_copy(update={"normalize": theirs})})
    fault = fault_of_normalization(built.network, asked, began.normalization)
    if fault is None and request.init is not None:
        fault = other_normalization(built, began.told, request.init, asked)
    if fault is not None:
        reporter.warn(fault)
    return asked, recipe
