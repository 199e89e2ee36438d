"""The weights that a run starts from, and the final layer that they need."""

from __future__ import annotations

from collections.abc import Sequence

from hardener.config.run_folder import HEAD_BEHIND
from hardener.models.build import Built, fit_head
from hardener.models.checkpoints.doubt import warn
from hardener.models.checkpoints.left_over import beside
from hardener.models.checkpoints.weights import Loaded, Start
from hardener.models.origin import other_size, settle_origin, warn_if_unfinished
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
        warn_if_unfinished(began.told, request.init, reporter)
        if (size := other_size(began.told, built.height, built.width)) is not None:
            reporter.say(size)
    return built, replaced, began
