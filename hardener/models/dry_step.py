"""A step of training as it will be taken, once, to see what it fails in and what it does not reach."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from hardener.errors import HardenerError
from hardener.models.answer import show_way
from hardener.models.answer_in_training import see_that_eval_mode_learns, way_in_training
from hardener.models.code.user_code import describe, is_users, place_of
from hardener.models.conditions import Conditions, Remark
from hardener.models.ends import EndsWatched, remarks_on_end, remarks_on_end_in_eval_mode
from hardener.models.normalize import ImageClassifier
from hardener.models.plain_state import changed_by_training, plain_state_kept, remarks_on_plain_state
from hardener.models.tame import line_of
from hardener.runtime.model_state import draws_so_far

MOST = 4
_FEW = 2  # images of the passes that only look; a step of ResNet-50 at 224 pixels takes 3.5 times as long with all
_TRIES = 8  # of a network that draws at random, until a gradient has reached all of it
_CUTS = re.compile(r"no_grad|inference_mode|\.detach\(|\.data\b|\.numpy\(|set_grad_enabled")


def dry_step(
    classifier: ImageClassifier, conditions: Conditions, order: torch.memory_format, *, answers: Tensor | None = None
) -> list[Remark]:
    """Take the forward and backward pass of a step, in training mode.

    Args:
        answers: logits in eval mode, which may be something else than those of training.
    """
    assert conditions.batch is not None, "there will be training"
    count = min(max(conditions.batch, 1), MOST)
    classifier.train()
    images = conditions.images(count).contiguous(memory_format=order).requires_grad_()
    learning = {name: p for name, p in classifier.network.named_parameters() if p.requires_grad}
    if not any(True for _ in classifier.network.parameters()):
        raise HardenerError(
            "no parameter of the model learns: it holds none. Layers in a plain list or dict are unknown to torch: "
            "keep them in an nn.ModuleList or nn.ModuleDict."
        )
    if not learning:
        raise HardenerError(
            "no parameter of the model learns: requires_grad is False for all of them"
            f"{line_of(classifier.network, re.compile(r'requires_grad'), whole=True)}. Leave some as they are, and "
            "name those that are not to learn with --freeze."
        )
    with plain_state_kept(classifier.network):
        ends = _taught(classifier, images)
    what = f"a step of training fails on {conditions.shown(count)}"
    before = draws_so_far(conditions.device)
    try:
        with failing(what, classifier, conditions, images):
            _step(classifier, images, conditions, autocast=conditions.autocast, ends=ends)
    except torch.OutOfMemoryError:
        return []  # training takes smaller pieces, or says that none fits
    if answers is not None and not any(remark.wrong for remark in ends):
        ends += remarks_on_end_in_eval_mode(answers, classifier.network)
    draws = draws_so_far(conditions.device) != before
    for _ in range(_TRIES if draws else 0):  # a block that was left out at random gets its gradient another time
        if all(parameter.grad is not None for parameter in learning.values()):
            break
        with contextlib.suppress(Exception):  # the user's own code; the step above went well
            _step(classifier, images, conditions, autocast=conditions.autocast, ends=[])
    idle = [name for name, parameter in learning.items() if parameter.grad is None]
    remarks = [*ends, *_unreached(classifier, idle, len(learning), images)]
    few = images.detach()[:_FEW]
    with plain_state_kept(classifier.network):
        remarks += remarks_on_plain_state(changed_by_training(classifier, few))
        see_that_eval_mode_learns(classifier, few)
    return remarks


def _taught(classifier: ImageClassifier, images: Tensor) -> list[Remark]:
    """Let training take the tensor that eval mode answers with; say so where it is not the first."""
    classifier.way_in_training = way_in_training(classifier, images.detach()[:_FEW])
    classifier.train()
    if classifier.way_in_training is None:
        return []
    told = f"{show_way(classifier.way_in_training)} is the answer of eval mode, and is trained"
    return [Remark(f"in training mode the model returns several tensors: {told}")]


def _step(
    classifier: ImageClassifier, images: Tensor, conditions: Conditions, *, autocast: bool, ends: list[Remark]
) -> None:
    with torch.enable_grad():
        with torch.autocast(conditions.device.type, dtype=torch.bfloat16, enabled=autocast), EndsWatched() as watched:
            logits = classifier(images)
        if len(logits) != len(images):
            raise HardenerError(
                f"in training mode the model answers {len(images)} images with logits of shape {tuple(logits.shape)}."
            )
        if classifier.classes and logits.shape[1] != len(classifier.classes):
            where = line_of(classifier.network, re.compile(r"self[.]training"))
            raise HardenerError(
                f"in training mode the model answers with {logits.shape[1]} numbers an image, and in eval mode with "
                f"{len(classifier.classes)}{where}. Let it return its logits in both."
            )
        if not logits.requires_grad:
            raise HardenerError(
                f"no gradient reaches the model's parameters{line_of(classifier.network, _CUTS)}: what runs under "
                "torch.no_grad, or is detached, cannot be trained. Take that out."
            )
        ends += remarks_on_end(logits, watched, classifier.network)
        labels = torch.arange(len(images), device=images.device) % logits.shape[1]
        cross_entropy(logits.float(), labels).backward()


def _unreached(classifier: ImageClassifier, idle: list[str], learning: int, images: Tensor) -> list[Remark]:
    """Say what no gradient reached."""
    if len(idle) == learning:
        raise HardenerError(
            f"no gradient reaches any of the model's parameters{line_of(classifier.network, _CUTS)}: nothing would "
            "learn. Take out what cuts it off, such as torch.no_grad or .detach()."
        )
    remarks = []
    if idle:
        remarks.append(
            f"no gradient reaches {len(idle)} of {learning} parameters, such as {idle[0]}: they do not learn"
        )
    head = next(iter(classifier.heads), None)
    if head and any(name.startswith(f"{head}.") for name in idle):
        remarks.append(
            f"the answer in eval mode is made by {head}, which does not learn: training takes another tensor. Return "
            f"what {head} gives in training too"
        )
    if images.grad is None:
        remarks.append(
            "no gradient reaches the images: attacks by gradients cannot see through the model"
            f"{line_of(classifier.network, _CUTS)}"
        )
    return [Remark(text, wrong=True) for text in remarks]


@contextmanager
def failing(
    what: str,
    classifier: ImageClassifier | None = None,
    conditions: Conditions | None = None,
    images: Tensor | None = None,
) -> Iterator[None]:
    """Turn what the network raises into one error; of a step of training also say whether bfloat16 was the cause."""
    try:
        yield
    except (HardenerError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:  # the user's own code: it may raise anything
        more = ""
        if classifier is not None and conditions is not None and images is not None:
            more = _step_advice(error, classifier, conditions, images)
        raise HardenerError(f"{what}: {describe(error)}{more}") from error


def _step_advice(error: BaseException, classifier: ImageClassifier, conditions: Conditions, images: Tensor) -> str:
    if conditions.autocast:
        try:
            _step(classifier, images, conditions, autocast=False, ends=[])
        except Exception:  # then bfloat16 is not what it fails in
            return ""
        return " It runs in float32: pass --precision float32."
    if place_of(error) is not None:
        return ""
    return _backward_line(classifier, images, conditions)


def _backward_line(classifier: ImageClassifier, images: Tensor, conditions: Conditions) -> str:
    """Say which line's gradient cannot be computed, as torch's own search for it tells."""
    with warnings.catch_warnings(record=True) as caught, torch.autograd.set_detect_anomaly(True):
        warnings.simplefilter("always")
        with contextlib.suppress(Exception):  # the same again
            _step(classifier, images, conditions, autocast=False, ends=[])
    lines = re.findall(r'File "(.+?)", line (\d+)', "\n".join(str(item.message) for item in caught))
    own = [f"{Path(file).name}, line {line}" for file, line in lines if is_users(Path(file))]
    return f" The gradient of {own[-1]} cannot be computed." if own else ""
