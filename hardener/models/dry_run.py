"""What later work will ask of a network, tried once before it: other batches, memory orders, a step of training."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hardener.errors import HardenerError
from hardener.models.answer import show_way
from hardener.models.build import noise
from hardener.models.normalize import ImageClassifier
from hardener.models.tame import breaks_channels_last, line_of, prints, told_of_chance
from hardener.models.user_code import Place, describe, is_users, place_of
from hardener.progress import Reporter
from hardener.runtime.model_state import in_eval_mode, lay_out, left_as_found, same_draws

SAME = 1e-3
"""Of the logits' spread: what another memory order may change in an answer."""
_MOST = 4
_ENDS = {"SoftmaxBackward0": "Softmax", "SigmoidBackward0": "Sigmoid", "LogSoftmaxBackward0": "LogSoftmax"}
_SHAPING = {"ViewBackward0", "SqueezeBackward0", "SqueezeBackward1", "UnsqueezeBackward0", "ReshapeAliasBackward0"}
_CUTS = re.compile(r"no_grad|inference_mode|\.detach\(|\.data\b|\.numpy\(|set_grad_enabled")


@dataclass(frozen=True)
class Conditions:
    """How a network will be used.

    Attributes:
        channels, height, width: of the images.
        device: where.
        batch: images of the smallest piece that training takes at once; None for no training.
        autocast: training computes in bfloat16 where that is safe.
    """

    channels: int
    height: int
    width: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    batch: int | None = None
    autocast: bool = False

    def images(self, count: int) -> Tensor:
        """Return images of noise."""
        return noise(count, self.channels, self.height, self.width, self.device)

    def shown(self, count: int) -> str:
        """Say which images those are."""
        return f"{count} image{'s' if count > 1 else ''} of {self.channels} x {self.height} x {self.width}"


@dataclass(frozen=True)
class Remark:
    """What a network's owner should know; `wrong`: it had better be changed."""

    text: str
    wrong: bool = False


def tell(remarks: Sequence[Remark], reporter: Reporter) -> None:
    """Say each remark."""
    for remark in remarks:
        (reporter.warn if remark.wrong else reporter.say)(remark.text)


def dry_run(classifier: ImageClassifier, conditions: Conditions) -> list[Remark]:
    """Ask a classifier for all that will be asked of it, and set how it is to be given its images.

    `contiguous` and `writes` of the classifier are set; nothing else of it changes, and no random number is used up.

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
            _failing("the model fails"),
        ):
            classifier(conditions.images(2))
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
        first, again, alone = (_answer(classifier, conditions, count) for count in (3, 3, 1))
        if conditions.batch is not None:
            classifier.train()
            with contextlib.suppress(Exception):  # the step of training says what fails there
                classifier(conditions.images(min(max(conditions.batch, 2), _MOST)))
    classifier.writes = bool(writes)
    if conditions.batch is not None and not bool(first.isfinite().all()):  # an evaluation's audit has its own word
        raise HardenerError(
            f"the model answers NaN or infinite numbers to {conditions.shown(3)}, of noise in [0, 1]. Look for a "
            "division by zero, a logarithm, or weights that are not finite."
        )
    remarks = []
    if writes:
        remarks.append(Remark("the model changes its input in place: it is given a copy"))
    if _differ(first, again):
        text = f"the model {told_of_chance(classifier.network)}: no figure of it will be exact"
        remarks.append(Remark(text, wrong=True))
    elif _differ(first[:1], alone):
        text = "the model's answer to an image depends on the other images of its batch, also in eval mode"
        remarks.append(Remark(text, wrong=True))
    return remarks


def _answer(classifier: nn.Module, conditions: Conditions, count: int) -> Tensor:
    try:
        with _failing(f"the model fails on {conditions.shown(count)}"):
            logits: Tensor = classifier(conditions.images(count))
    except HardenerError as error:
        where = line_of(classifier, re.compile(r"squeeze\(\)")) if count == 1 else ""
        why = f" .squeeze(){where} takes away a batch of one as well: name the dimension, as in .squeeze(-1)."
        raise HardenerError(f"{error}{why if where else ''}") from error.__cause__
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
        with torch.no_grad(), in_eval_mode(classifier), _failing(what):
            plain, again = classifier(conditions.images(2)), classifier(conditions.images(2))
        if conditions.batch is not None:  # an evaluation's weights lie as they were read
            lay_out(classifier, order)
        with in_eval_mode(classifier), _failing(what):
            inputs = conditions.images(2).contiguous(memory_format=order).requires_grad_(conditions.batch is None)
            with torch.set_grad_enabled(conditions.batch is None):
                logits = classifier(inputs)
                if logits.requires_grad:
                    torch.autograd.grad(logits.float().sum(), inputs, allow_unused=True)
        if conditions.batch is not None:
            remarks = _trained(classifier, conditions, order)
    return _Used(remarks, _differ(plain, logits.detach()) and not _differ(plain, again))


def _trained(classifier: ImageClassifier, conditions: Conditions, order: torch.memory_format) -> list[Remark]:
    """Take the forward and backward pass of a step, in training mode."""
    assert conditions.batch is not None, "there will be training"
    count = min(max(conditions.batch, 1), _MOST)
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
    ends: list[str] = []
    what = f"a step of training fails on {conditions.shown(count)}"
    try:
        with _failing(what, classifier, conditions, images):
            _step(classifier, images, conditions, autocast=conditions.autocast, ends=ends)
    except torch.OutOfMemoryError:
        return []  # training takes smaller pieces, or says that none fits
    idle = [name for name, parameter in learning.items() if parameter.grad is None]
    return [*(Remark(text, wrong=True) for text in ends), *_unreached(classifier, idle, len(learning), images)]


def _step(
    classifier: ImageClassifier, images: Tensor, conditions: Conditions, *, autocast: bool, ends: list[str]
) -> None:
    with torch.enable_grad():
        with torch.autocast(conditions.device.type, dtype=torch.bfloat16, enabled=autocast):
            logits = classifier(images)
        if len(logits) != len(images):
            raise HardenerError(
                f"in training mode the model answers {len(images)} images with logits of shape {tuple(logits.shape)}."
            )
        if not logits.requires_grad:
            raise HardenerError(
                f"no gradient reaches the model's parameters{line_of(classifier.network, _CUTS)}: what runs under "
                "torch.no_grad, or is detached, cannot be trained. Take that out."
            )
        ends += _end_of(logits, classifier.network)
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
    if images.grad is None:
        remarks.append(
            "no gradient reaches the images: attacks by gradients cannot see through the model"
            f"{line_of(classifier.network, _CUTS)}"
        )
    return [Remark(text, wrong=True) for text in remarks]


def _end_of(logits: Tensor, network: nn.Module) -> list[str]:
    """Say where the answers are probabilities rather than logits."""
    node: Any = logits.grad_fn
    while node is not None and (node.name() in _SHAPING or node.name() == "ToCopyBackward0"):
        node = node.next_functions[0][0]
    name = None if node is None else _ENDS.get(node.name())
    if name is None:
        return []
    told = line_of(network, re.compile(name, re.IGNORECASE), whole=True)
    return [
        f"the model ends in a {name}{told}: what it returns are no logits. Training already takes the softmax, so it "
        "learns less, and attacks see less of its gradients. Take it out of the model file"
    ]


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


@contextmanager
def _failing(
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
