"""The adversarial vicinity: the worst point of a ball around each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from hardener.config.section import Ball, NotNegative, Quantity, Share
from hardener.geometry import fit_box, norm_geometry
from hardener.losses.soft_cross_entropy import soft_cross_entropy
from hardener.runtime.model_state import in_eval_mode
from hardener.vicinity._class_start import class_start
from hardener.vicinity.prior import Prior

if TYPE_CHECKING:
    from hardener.config.schema import Recipe

Schedule = Literal["constant", "ramp", "auto"]
Origin = Literal["noise", "class", "prior"]
Agreement = Literal["squared", "divergence"]
LATE = 0.75


class Settings(Ball):
    """The worst point of a ball, by `steps` gradient steps from a random start; null `step_size`: the method's own.

    `start`: radius of the random start, as a multiple of eps. `origin`: noise alone; `class`: the step of the image's
    class from a gray image, partly replaced by noise (LIET's start); `prior`: what the climb around the same image came
    to in the epoch before (FGSM-PGI's start). `agreement`: weight of a term that asks for the same answer at the start
    and at the end, at the price of a third pass: `agreement_by` `squared`, the logits' difference, as in FGSM-PGI (10),
    or `divergence`, that of Jensen and Shannon, whose weight grows over the run up to `agreement`, as in LIET (100).
    `running_statistics`: the climb sees the network in evaluation mode, by its running batch statistics, and leaves
    those alone. `project`: bring each step back into the ball; N-FGSM does not. `last_steps`: gradient steps in the
    last quarter of the run, where those are more.
    `schedule`: how the run comes to `eps`. `constant`: from its first step. `ramp`: 0 for the share `quiet` of the run,
    then evenly up to eps at its share `full`. `auto`: as the ramp or ahead of it; see `training.eps_schedule`.
    """

    steps: PositiveInt = 1
    last_steps: PositiveInt | None = None
    step_size: Annotated[Quantity, Field(gt=0)] | None = None
    start: NotNegative = 1.0
    origin: Origin = "noise"
    agreement: NotNegative = 0.0
    agreement_by: Agreement = "squared"
    running_statistics: bool = False
    project: bool = True
    schedule: Schedule = "constant"
    quiet: Share = 0.25
    full: Share = 0.75

    @model_validator(mode="after")
    def _check_origin(self) -> Self:
        if self.origin == "class" and self.norm != "linf":
            raise ValueError(f"origin=class starts from signs, which is a start for linf and none for {self.norm}")
        if self.origin == "prior" and self.norm != "linf":
            raise ValueError(f"origin=prior keeps each pixel's share of eps, which is for linf and not for {self.norm}")
        if self.origin == "prior" and not self.project:
            raise ValueError(
                "origin=prior goes on from where the climb before ended, so that has to be in the ball: set "
                "vicinity.adversarial.project=true as well"
            )
        return self

    @model_validator(mode="after")
    def _check_agreement(self) -> Self:
        if self.agreement_by != "squared" and not self.agreement:
            raise ValueError(
                f"agreement_by={self.agreement_by} says how a term is measured that weighs nothing: set "
                "vicinity.adversarial.agreement as well, such as vicinity.adversarial.agreement=100"
            )
        return self

    @model_validator(mode="after")
    def _check_schedule(self) -> Self:
        if self.schedule == "constant":
            return self
        if "eps" not in self.model_fields_set:
            raise ValueError(
                f"schedule={self.schedule} raises the eps of an attack, and this recipe names none: set "
                "vicinity.adversarial.eps as well, such as vicinity.adversarial.eps=4/255"
            )
        if self.quiet >= self.full:
            raise ValueError(
                f"quiet={self.quiet:g} and full={self.full:g} are out of order: eps is 0 up to the share quiet of the "
                "run and whole from the share full on, such as quiet=0.25 and full=0.75"
            )
        return self


def faults(recipe: Recipe) -> Iterator[str]:
    """Yield what of a recipe does not go with the climb's start."""
    if recipe.vicinity.own(Settings).origin != "prior":
        return
    if recipe.resize is not None:
        yield "vicinity.adversarial.origin=prior keeps perturbations of one size: it does not go with resize"
    mixed = [f"vicinity.{key}" for key in ("mixup_alpha", "cutmix") if key in recipe.vicinity.on()]
    if mixed:
        yield f"vicinity.adversarial.origin=prior is of each image on its own: no {' or '.join(mixed)}, which mix them"


@dataclass(frozen=True)
class WorstPoint:
    """Of a ball around each image, the point that a climb from a random start ends at.

    With one step of 1.25 eps in linf this is FGSM-RS; with several it is the PGD of adversarial training; with one
    step of eps from a start in 2 eps, and no projection, N-FGSM.

    Attributes:
        norm, eps: the ball.
        steps: gradient steps, >= 1; each costs a forward and a backward pass.
        last_steps: the same in the last quarter of the run, where they are more: a second step costs little there, and
            single-step training overfits to its step late, as the learning rate falls. None: as before.
        step_size: a fraction of the pixel range. None: 1.25 eps for one step, 2.5 eps / steps for more; without
            projection eps / steps, so that no number of steps leads farther than (start + 1) eps.
        start: radius of the uniform random start, as a multiple of eps, >= 0.
        origin: `noise`: the start is that; `class`: it replaces a part of `class_start`; `prior`: it is where the climb
            around the same image ended in the epoch before, and noise in the first one.
        agreement, agreement_by: weight and kind of the term for equal answers at both ends; see `agreement_now`.
        running_statistics: the climb sees the network in evaluation mode. False: in the mode that it is in, training
            mode, as in the published codes of the first and the third source: batch statistics of the climb go into
            its running averages too.
        project: back into the ball after each step. False: only the box holds the climb.
        schedule, quiet, full: how a run comes to eps; `share` follows from them.
        share: of eps and of the steps' size that this draw has, in [0, 1]. 0: the images as they came, at no cost.
        done: the share of the run that is done, in [0, 1].
    Note: for equal answers the published codes take the gradient through the climb's own pass. Here the start gets a
        pass of its own, which goes with compiled and sharded networks, costs a forward pass more, and counts once more
        in the batch statistics.
    Source: Wong, Rice, Kolter, "Fast is Better than Free: Revisiting Adversarial Training", ICLR 2020, Algorithm 3;
        Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018, Eq. (2.1) of the
        submitted version; de Jorge et al., "Make Some Noise: Reliable and Efficient Single-Step Adversarial Training",
        NeurIPS 2022. The term for equal answers: Jia et al., "Prior-Guided Adversarial Initialization for Fast
        Adversarial Training", ECCV 2022, and Pan et al. (LIET), ICCV 2025.
    """

    norm: str
    eps: float
    steps: int = 1
    last_steps: int | None = None
    step_size: float | None = None
    start: float = 1.0
    origin: Origin = "noise"
    agreement: float = 0.0
    agreement_by: Agreement = "squared"
    running_statistics: bool = False
    project: bool = True
    schedule: Schedule = "constant"
    quiet: float = 0.25
    full: float = 0.75
    share: float = 1.0
    done: float = 0.0

    def __call__(
        self, images: Tensor, soft_labels: Tensor, *, model: Callable[[Tensor], Tensor], prior: Prior | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the points, (N, C, H, W) in the box, detached, and the labels as they came; see `ends`."""
        return self.ends(images, soft_labels, model=model, prior=prior)[1], soft_labels

    def ends(
        self, images: Tensor, soft_labels: Tensor, *, model: Callable[[Tensor], Tensor], prior: Prior | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return where the climb starts and where it ends, (N, C, H, W) each, in the box, detached.

        Args:
            images: (N, C, H, W); they may leave [0, 1], as noisy ones do.
            soft_labels: (N, K), rows sum to 1.
            model: images -> logits (N, K). Neither its mode nor any `.grad` changes.
            prior: what is kept of the epoch before; changed where `origin` is `prior`. None: there starts noise too.
        """
        if self.share == 0:
            return images, images
        with in_eval_mode(model) if self.running_statistics and isinstance(model, nn.Module) else nullcontext():
            return self._climb(images, soft_labels, model, prior)

    def _climb(
        self, images: Tensor, soft_labels: Tensor, model: Callable[[Tensor], Tensor], prior: Prior | None
    ) -> tuple[Tensor, Tensor]:
        ball, eps, length = norm_geometry(self.norm), self.share * self.eps, self.share * self._length()
        if self.origin == "class":
            start = class_start(model, images, soft_labels, eps=eps, noise=self.start * eps)
        else:
            start = ball.random_point(images, self.start * eps)
        if self.origin == "prior" and prior is not None:
            start = prior.start(start, eps)
        begun = delta = fit_box(images, start)
        for _ in range(self._count):
            inputs = (images + delta).requires_grad_()
            (gradient,) = torch.autograd.grad(soft_cross_entropy(model(inputs), soft_labels), inputs)
            delta = delta + length * ball.climbing_step(gradient, eps)
            if self.project:
                delta = ball.project(delta, eps)
            delta = fit_box(images, delta)
        if self.origin == "prior" and prior is not None:
            prior.keep(delta, eps)
        return (images + begun).detach(), (images + delta).detach()

    def ramp(self, done: float) -> float:
        """Return the share of eps that a ramp has come to at a share `done` of the run, both in [0, 1].

        Source: the linear schedule of arXiv 2509.23325, with its quiet quarter at either end as the default.
        """
        return min(max((done - self.quiet) / (self.full - self.quiet), 0.0), 1.0)

    @property
    def agreement_now(self) -> float:
        """Weight of the term for equal answers at this step; 0: there is none."""
        return self.agreement * (self.done if self.agreement_by == "divergence" else 1.0) * (self.share > 0)

    def _length(self) -> float:
        if self.step_size is not None:
            return self.step_size
        if not self.project:
            return self.eps / self._count
        return 1.25 * self.eps if self._count == 1 else 2.5 * self.eps / self._count

    @property
    def _count(self) -> int:
        return steps_at(self, self.done)


def steps_at(climb: Settings | WorstPoint, done: float) -> int:
    """Return how many gradient steps a climb takes at a share `done` of the run, in [0, 1]."""
    return max(climb.steps, climb.last_steps or 0) if done >= LATE else climb.steps
