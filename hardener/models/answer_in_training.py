"""What a network answers with in training, and in eval mode: the same layers should make both."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.models.answer import Way, sorted_answers
from hardener.models.normalize import ImageClassifier

_NEAR = 1e-4
_CHANGE = 0.1


def way_in_training(classifier: ImageClassifier, images: Tensor) -> Way | None:
    """Return where the tensor stands in what the network returns in training that is its answer in eval mode.

    Of several, that is the one of the same values where the layers that act otherwise in training are still, or else
    the only one that the layer behind the answer has made. None where that one is taken anyway, or nothing tells.
    """
    network = classifier.network
    if isinstance(network, torch.jit.ScriptModule):  # which takes no hooks
        return None
    returned: list[Any] = []
    hook = network.register_forward_hook(lambda _, __, output: returned.append(output))
    try:
        with torch.enable_grad():
            classifier.train()
            for module in network.modules():
                module.training = any(True for _ in module.children())
            network.training = True
            classifier(images)
            if len(sorted_answers(returned[0], len(classifier.classes) or None, None)) < 2:
                return None  # as of nearly all networks, which are then asked no more
            classifier.eval()
            judged = classifier(images)
    except Exception:  # the user's own code: it may raise anything; the step of training says what fails
        return None
    finally:
        hook.remove()
    found = sorted_answers(returned[0], judged.shape[1], None)
    found = [(way, rows) for way, rows in found if rows.shape[1] == judged.shape[1]]
    if len(found) < 2 or judged.is_meta:
        return None
    taken = next((way for way, _ in found if way == classifier.way), found[0][0])
    same = [way for way, rows in found if _near(rows[: len(judged)].detach(), judged.detach())]
    made = same or [way for way, rows in found if _reached(rows, classifier)]
    return made[0] if taken not in made and (same or len(made) == 1) else None


def _near(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=_NEAR, atol=_NEAR * float(other.abs().max()))


def _reached(rows: Tensor, classifier: ImageClassifier) -> bool:
    """Does a gradient of these rows reach the layer that makes the answer in eval mode?"""
    head = dict(classifier.network.named_modules()).get(next(iter(classifier.heads), ""))
    learning = [] if head is None else [p for p in head.parameters() if p.requires_grad]
    if not learning or not rows.requires_grad:
        return False
    return any(
        one is not None for one in torch.autograd.grad(rows.sum(), learning, allow_unused=True, retain_graph=True)
    )


def see_that_eval_mode_learns(classifier: ImageClassifier, images: Tensor) -> None:
    """See that what a step of training changes also changes the answer in eval mode. Gradients are those of a step.

    Where the layers that make the answer have one, that is so, and nothing is asked.

    Raises:
        HardenerError: it does not, so that what is trained is never judged.
    """
    layers = dict(classifier.network.named_modules())
    heads = [layers[name] for name in classifier.heads if name in layers]
    if any(p.grad is not None for head in heads for p in head.parameters()) or not _answers_alike(classifier, images):
        return
    raise HardenerError(
        "what training changes does not change the answer in eval mode: a copy answers there that no gradient reaches"
        f"{_still(classifier.network)}. Return the answer of the trained layers in eval mode too."
    )


def _answers_alike(classifier: ImageClassifier, images: Tensor) -> bool:
    """Does the network give the very same answers in eval mode after all that learns has changed?"""
    learned = [p for p in classifier.network.parameters() if p.grad is not None]
    with torch.no_grad(), contextlib.suppress(Exception):  # the user's own code; or what cannot be written to
        classifier.eval()
        first, again = classifier(images), classifier(images)
        if not torch.equal(first, again):
            return False
        for parameter in learned:
            parameter.add_(torch.randn_like(parameter) * _CHANGE)
        classifier.train()
        classifier(images)  # averages of weights may move then
        classifier.eval()
        return torch.equal(first, classifier(images))
    return False


def _still(network: nn.Module) -> str:
    """Name the parts of a network that are all frozen, and learn nothing."""
    names = [
        name
        for name, module in network.named_children()
        if any(True for _ in module.parameters()) and not any(p.requires_grad for p in module.parameters())
    ]
    return f" ({', '.join(names[:3])})" if names else ""
