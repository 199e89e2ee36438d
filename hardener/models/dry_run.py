"""What later work will ask of a network, tried once before it: other batches, memory orders, a step of training."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.models.answer import show_way
from hardener.models.code.user_code import Place, place_of
from hardener.models.conditions import Conditions, Remark
from hardener.models.dry_step import MOST, dry_step, failing
from hardener.models.normalize import ImageClassifier
from hardener.models.tame import breaks_channels_last, line_of, prints, told_of_chance
from hardener.runtime.model_state import in_eval_mode, lay_out, left_as_found, same_draws

SAME = 1e-3
"""Of the logits' spread: what another memory order may change in an answer."""
_LARGE = 1e6
"""Logits before any training are of the order of 1, as torch starts a network."""
_DRAWS = re.compile(r"init\.\w+\(|\.normal_\(")


def dry_run(classifier: ImageClassifier, conditions: Conditions) -> list[Remark]:
    """Ask a classifier for all that will be asked of it, and set how it is to be given its images.

    `contiguous`, `writes` and `paired` of the classifier are set; nothing else of it changes, and no random number is
    used up.

    Returns:
        What its owner should know.
    Raises:
        HardenerError: what will not work, and why.
    """
    with same_draws(conditions.device):
        remarks = _asked_in_eval_mode(classifier, conditions)
        remarks += _in_both_orders(classifier, conditions)
    if classifier.way is not None:
        remarks.append(Remark(f"the model returns several tensors: {show_way(classifier.way)} is taken as its logits"))
    printed = prints(classifier.network)
    if printed:
        remarks.append(Remark(f"what the model prints at every call is not shown ({', '.join(printed[:3])})"))
    if any(isinstance(module, torch.jit.ScriptModule) for module in classifier.network.modules()):
        text = "what is loaded from a file of torch.jit cannot be exported to ONNX: build the network from its code"
        remarks.append(Remark(text, wrong=True))
    return remarks


def settle_order(classifier: ImageClassifier, conditions: Conditions) -> None:
    """Set how a classifier is given its images, in which memory order and whether as a copy.

    What it fails at in both orders is left for later.
    """
    with same_draws(conditions.device), contextlib.suppress(HardenerError):
        with (
            torch.no_grad(),
            in_eval_mode(classifier),
            _watching(classifier.network) as writes,
            failing("the model fails"),
        ):
            _alone(classifier, conditions, classifier(conditions.images(2)))
        classifier.writes = bool(writes)
        _in_both_orders(classifier, conditions)


def _asked_in_eval_mode(classifier: ImageClassifier, conditions: Conditions) -> list[Remark]:
    """Ask about three images, the same again, and one alone."""
    with (
        _tried(classifier, conditions),
        torch.no_grad(),
        in_eval_mode(classifier),
        _watching(classifier.network) as writes,
    ):
        first, again = (_answer(classifier, conditions, count) for count in (3, 3))
        alone = _alone(classifier, conditions, first)
        if conditions.batch is not None:
            classifier.train()
            with contextlib.suppress(Exception):  # the step of training says what fails there
                classifier(conditions.images(min(max(conditions.batch, 2), MOST)))
    classifier.writes = bool(writes)
    if conditions.batch is not None and not bool(first.isfinite().all()):  # an evaluation's audit has its own word
        raise HardenerError(
            f"the model answers NaN or infinite numbers to {conditions.shown(3)}, of noise in [0, 1]. Look for a "
            "division by zero, a logarithm, or weights that are not finite."
        )
    remarks = []
    largest = float(first.abs().max())
    if conditions.batch is not None and largest > _LARGE:
        where = line_of(classifier.network, _DRAWS, whole=True)
        text = (
            f"the model answers noise with numbers up to {largest:.0e} before any training: its first weights are too "
            f"large{where}, and the loss is likely to become NaN. Keep those that torch begins with"
        )
        remarks.append(Remark(text, wrong=True))
    if classifier.paired:
        remarks.append(Remark(f"the model takes no image alone{_squeezes(classifier)}: one is given twice"))
    if writes:
        remarks.append(Remark("the model changes its input in place: it is given a copy"))
    if _differ(first, again):
        text = f"the model {told_of_chance(classifier.network)}: no figure of it will be exact"
        remarks.append(Remark(text, wrong=True))
    elif _differ(first[:1], alone):
        text = "the model's answer to an image depends on the other images of its batch, also in eval mode"
        remarks.append(Remark(text, wrong=True))
    return remarks


def _alone(classifier: ImageClassifier, conditions: Conditions, several: Tensor) -> Tensor:
    """Ask about one image; where that fails, or gives what it gives to no two, give it twice from now on."""
    alone, fault = several[:1], None
    try:
        alone = _answer(classifier, conditions, 1)
    except HardenerError as error:
        fault = error
    if fault is None and not _differ(several[:1], alone):
        return alone
    classifier.paired = True
    try:
        twice = _answer(classifier, conditions, 1)
    except HardenerError as error:
        raise (fault or error) from (fault or error).__cause__
    classifier.paired = fault is not None or not _differ(several[:1], twice)
    return twice if classifier.paired else alone


def _squeezes(classifier: ImageClassifier) -> str:
    where = line_of(classifier, re.compile(r"squeeze\(\)"))
    return f", since .squeeze(){where} takes away a batch of one as well" if where else ""


def _answer(classifier: nn.Module, conditions: Conditions, count: int) -> Tensor:
    with failing(f"the model fails on {conditions.shown(count)}"):
        logits: Tensor = classifier(conditions.images(count))
    if len(logits) != count:
        raise HardenerError(
            f"the model answers {conditions.shown(count)} with logits of shape {tuple(logits.shape)}: the number of "
            f"images is fixed in its code{line_of(classifier, re.compile(r'(view|reshape)[(]'))}. Write x.flatten(1) "
            "or x.view(x.size(0), -1)."
        )
    return logits


def _in_both_orders(classifier: ImageClassifier, conditions: Conditions) -> list[Remark]:
    """Use the network as the run will, in channels_last; where that fails, contiguous."""
    layer = breaks_channels_last(classifier.network) if conditions.device.type == "cpu" else None
    if layer is not None:
        found = _used(classifier, conditions, contiguous=True)
        classifier.contiguous = True
        why = f"images go in as contiguous: torch's gradient of {layer} in channels_last damages memory on a CPU"
        return [Remark(why), *found.remarks]
    try:
        found = _used(classifier, conditions, contiguous=False)
    except HardenerError as error:
        cause = error.__cause__
        place = None if cause is None else place_of(cause)
        try:
            found = _used(classifier, conditions, contiguous=True)
        except HardenerError as other:
            raise other from other.__cause__
        classifier.contiguous = True
        return [Remark(_why_contiguous(place)), *found.remarks]
    if found.differs:
        found = _used(classifier, conditions, contiguous=True)
        classifier.contiguous = True
        why = "images go in as contiguous: the model answers otherwise in channels_last"
        return [Remark(why), *found.remarks]
    return found.remarks


def _why_contiguous(place: Place | None) -> str:
    if place is None:
        return "images go in as contiguous: the model does not run in channels_last"
    uses = "uses .view" if ".view(" in place.whole_code else "does not run in channels_last"
    return f"images go in as contiguous: {place}, {uses}"


@dataclass(frozen=True)
class _Used:
    remarks: list[Remark]
    differs: bool


def _used(classifier: ImageClassifier, conditions: Conditions, *, contiguous: bool) -> _Used:
    """Take a step of training, where there will be some, and ask for a gradient with respect to the images."""
    order = torch.contiguous_format if contiguous else torch.channels_last
    remarks: list[Remark] = []
    with _tried(classifier, conditions):
        classifier.contiguous = contiguous
        what = f"the model fails on {conditions.shown(2)}"
        with torch.no_grad(), in_eval_mode(classifier), failing(what):
            plain, again = classifier(conditions.images(2)), classifier(conditions.images(2))
        if conditions.batch is not None:  # an evaluation's weights lie as they were read
            lay_out(classifier, order)
        with in_eval_mode(classifier), failing(what):
            inputs = conditions.images(2).contiguous(memory_format=order).requires_grad_(conditions.batch is None)
            with torch.set_grad_enabled(conditions.batch is None):
                logits = classifier(inputs)
                if logits.requires_grad:
                    torch.autograd.grad(logits.float().sum(), inputs, allow_unused=True)
        if conditions.batch is not None:
            remarks = dry_step(classifier, conditions, order, answers=plain)
    return _Used(remarks, _differ(plain, logits.detach()) and not _differ(plain, again))


def _differ(one: Tensor, other: Tensor) -> bool:
    one, other = one.float(), other.float()
    spread = (one.amax(dim=1) - one.amin(dim=1)).clamp_min(1e-12)
    return bool(((one - other).abs().amax(dim=1) > SAME * spread).any())


@contextmanager
def _tried(classifier: ImageClassifier, conditions: Conditions) -> Iterator[None]:
    """Bring the classifier to the device, and leave it as it was found.

    A copy would not do: what a network calls through a closure or a hook is not copied with it.
    """
    before = classifier.contiguous, classifier.writes
    try:
        with contextlib.nullcontext() if conditions.batch is None else left_as_found(classifier):
            if conditions.batch is not None:
                classifier.to(conditions.device)
            yield
    finally:
        classifier.contiguous, classifier.writes = before


@contextmanager
def _watching(network: nn.Module) -> Iterator[list[str]]:
    """List when a network changes what it is given."""
    given: list[tuple[Tensor, int, Tensor]] = []
    writes: list[str] = []

    def before(_: nn.Module, values: tuple[Any, ...]) -> None:
        given.append((values[0], values[0]._version, values[0].clone()))

    if isinstance(network, torch.jit.ScriptModule):  # which takes no hooks
        yield writes
        return
    hook = network.register_forward_pre_hook(before)
    try:
        yield writes
    finally:
        hook.remove()
        writes += ["changed" for image, version, kept in given if _changed(image, version, kept)]


def _changed(image: Tensor, version: int, kept: Tensor) -> bool:
    return image._version != version or not torch.equal(image, kept)
