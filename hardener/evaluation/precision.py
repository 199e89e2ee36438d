"""In which numbers attacks take gradients: bfloat16 where that is faster here and the answers hardly move."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from hardener.config.evaluation_record import Precision
from hardener.errors import HardenerError, did_you_mean
from hardener.evaluation.robust_accuracy import AttackPlan
from hardener.evaluation.suite import Timing
from hardener.runtime.device import has_bfloat16, kind_of
from hardener.runtime.model_state import as_float, device_of, measuring

PRECISIONS = ("auto", "float32", "bfloat16")
GAIN = 0.9
"""Of the time of a float32 pass with a gradient, what a bfloat16 one may take at most to be chosen."""
CLOSE, CLOSE_SHARE = 0.02, 0.95
"""Logits of bfloat16 may differ by this share of an image's spread, and on this share of the images must not more."""
_FEW, _SLOW_S, _ROUNDS = 8, 0.05, 3


@dataclass(frozen=True)
class Choice:
    """Whether attacks take their gradients in bfloat16, and why.

    `timing` is of gradients as they are taken, and of forward passes in float32. `copied`: attacks by scores ask a
    copy of the model (`FasterAnswers`); None: not decided yet.
    """

    bf16: bool
    reason: str
    timing: Timing
    copied: bool | None = None

    def apply(self, plans: Sequence[AttackPlan]) -> list[AttackPlan]:
        """Write the choice into the settings of every attack that has one."""
        return [plan.having(bf16=self.bf16) if "bf16" in plan.settings else plan for plan in plans]

    def record(self, plans: Sequence[AttackPlan]) -> Precision:
        """Return what the evaluation's file says."""
        some = any(plan.settings.get("bf16") for plan in plans)
        return Precision(attacks="bfloat16" if some else "float32", reason=self.reason)


def choose_precision(asked: str, model: nn.Module, images: Tensor, *, batch_size: int) -> Choice:
    """Choose the numbers that gradients are taken in, and time a pass.

    What counts as broken is decided in float32 whatever is chosen: bfloat16 only shows where to go. Attacks that ask
    for answers alone (`square`) stay in float32: their small gains are lost in three digits, or, where everything
    that may be a gain is asked again, there is no time to win.

    Args:
        asked: `auto`, `float32` or `bfloat16`. `auto` takes bfloat16 where the device computes in it natively, where a
            pass is faster here and now, and where the model's answers to some images hardly differ.
        model: (N, C, H, W) in [0, 1] -> logits (N, K), differentiable or not, in eval mode.
        images: (N, C, H, W), float in [0, 1] or uint8, N >= 1; at most a batch of them is used.
        batch_size: images at once.
    Raises:
        HardenerError: an unknown precision, or a model that does not run in the one that is asked for.
    """
    check_precision(asked)
    devices = [device.index or 0] if (device := device_of(model)).type == "cuda" else []
    with measuring(model), torch.random.fork_rng(devices):  # how often a random model is timed must not change a result
        return _choose(asked, model, images, batch_size, device)


def _choose(asked: str, model: nn.Module, images: Tensor, batch_size: int, device: torch.device) -> Choice:
    count = min(len(images), batch_size)
    sample = as_float(images[:count].to(device))
    if device.type == "cpu":
        sample = sample.contiguous(memory_format=torch.channels_last)  # as the attacks lay their images out
    seconds_of(partial(_answer, model, sample[:_FEW], bf16=False))  # the first call also allocates and chooses kernels
    if seconds_of(partial(_answer, model, sample[:_FEW], bf16=False)) > _SLOW_S:
        sample = sample[:_FEW]
    exact = _timing(model, sample, bf16=False)
    if asked == "float32":
        return Choice(False, "asked for", exact)
    if asked == "auto" and not has_bfloat16(device):
        return Choice(False, f"this {kind_of(device)} does not compute in bfloat16 natively", exact)
    try:
        rough = _timing(model, sample, bf16=True)
        far = _far(_answer(model, sample, bf16=False), _answer(model, sample, bf16=True))
    except RuntimeError as error:
        if asked == "bfloat16":
            raise HardenerError(
                f"the model does not run in bfloat16: {_line(error)} Use --precision float32."
            ) from error
        return Choice(False, f"the model does not run in bfloat16: {_line(error)}", exact)
    shown = (
        f"a pass with a gradient takes {1000 * rough.gradient:.3g} ms an image in bfloat16, "
        f"{1000 * exact.gradient:.3g} ms in float32"
    )
    if asked == "bfloat16":
        reason = f"asked for, though {shown}" if rough.gradient > exact.gradient else "asked for"
        return Choice(True, reason, Timing(exact.forward, rough.gradient))
    if far > 1 - CLOSE_SHARE:
        return Choice(False, f"bfloat16 moves the logits of {100 * far:.0f} % of the images too far", exact)
    if rough.gradient > GAIN * exact.gradient:
        return Choice(False, shown, exact)
    return Choice(True, shown, Timing(exact.forward, rough.gradient))


def check_precision(asked: str) -> None:
    """Raise an error for a precision that there is not."""
    if asked not in PRECISIONS:
        raise HardenerError(
            f"unknown precision {asked!r}. Known: {', '.join(PRECISIONS)}.{did_you_mean(asked, PRECISIONS)}"
        )


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".") + "."


def _far(exact: Tensor, rough: Tensor) -> float:
    """Return the share of images whose logits, their mean aside, differ by more than bfloat16 should make them."""
    moved = rough - exact
    moved = (moved - moved.mean(dim=1, keepdim=True)).abs().amax(dim=1)
    spread = exact.amax(dim=1) - exact.amin(dim=1)
    return 1 - float((moved <= CLOSE * spread).float().mean())


def _answer(model: nn.Module, images: Tensor, *, bf16: bool, gradient: bool = False) -> Tensor:
    inputs = images.detach().requires_grad_(gradient)
    with torch.set_grad_enabled(gradient):
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits: Tensor = model(inputs)
        if logits.requires_grad:
            torch.autograd.grad(logits.float().sum(), inputs, allow_unused=True)
    return logits.detach().float()


def _timing(model: nn.Module, images: Tensor, *, bf16: bool) -> Timing:
    """Time passes: the fastest of a few, fewer where they are slow, because other work only ever adds time."""
    forward = partial(_answer, model, images, bf16=bf16)
    gradient = partial(_answer, model, images, bf16=bf16, gradient=True)
    found: dict[str, list[float]] = {"forward": [], "gradient": []}
    started = time.monotonic()
    for _ in range(1 + _ROUNDS):
        found["forward"].append(seconds_of(forward))
        found["gradient"].append(seconds_of(gradient))
        if time.monotonic() - started > 1 and len(found["forward"]) > 1:
            break
    return Timing(min(found["forward"]) / len(images), min(found["gradient"]) / len(images))


def seconds_of(work: Callable[[], object]) -> float:
    """Time a pass, on a GPU to its end."""
    started = time.monotonic()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic() - started
