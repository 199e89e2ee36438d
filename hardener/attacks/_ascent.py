"""Climbing an objective with a batch whose images leave as they are broken."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier, Objective, value_and_gradient
from hardener.attacks._layout import fast_layout
from hardener.attacks._precision import misclassified
from hardener.losses.cross_entropy import cross_entropy


class Ascent:
    """Images that move along gradients, each until its first misclassified iterate.

    The attack's own file holds the paper's step:

        ascent = Ascent(model, images, labels, start)
        for gradient in ascent.gradients(steps):
            ascent.delta = step(ascent.images, ascent.delta, gradient)
        return ascent.found()

    The logits that tell whether an iterate is misclassified come with the gradient's forward pass, so looking costs
    nothing, and an image that is broken costs no further pass. The images that never were get their last iterate:
    no iterate but that one, which the caller classifies, can still break them.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        start: (N, C, H, W), the first delta, inside ball and box.
        objective: to climb.
        eot_draws: passes a gradient is averaged over; an image leaves when every one was misclassified.
        bf16: take gradients under bfloat16 autocast; a misclassified iterate then counts only if a float32 pass agrees.
        stop_early: let broken images leave; False takes every image through all steps, for examples that should
            fool other models too.
    Attributes:
        images, labels, delta: of the images that are still here; the attack sets `delta` in each round.
    """

    def __init__(
        self,
        model: Classifier,
        images: Tensor,
        labels: Tensor,
        start: Tensor,
        *,
        objective: Objective = cross_entropy,
        eot_draws: int = 1,
        bf16: bool = False,
        stop_early: bool = True,
    ) -> None:
        self.model = model
        self.images = fast_layout(images)
        self.labels = labels
        self.delta = fast_layout(start)
        self.objective = objective
        self.eot_draws = eot_draws
        self.bf16 = bf16
        self.stop_early = stop_early
        self._result = torch.empty_like(images)
        self._places = torch.arange(len(images), device=images.device)
        self._stayed = torch.ones_like(self._places, dtype=torch.bool)

    def gradients(self, steps: int) -> Iterator[Tensor]:
        """Yield the gradient at `images + delta`, up to `steps` times; the broken have left before each.

        A part of a gradient that is NaN is taken as 0, an infinite one as the largest number: it costs the attack
        that pixel and not the whole batch.
        """
        for _ in range(steps):
            points = self.images + self.delta
            logits, _, gradient = value_and_gradient(
                self.model,
                points,
                self.labels,
                objective=self.objective,
                eot_draws=self.eot_draws,
                bf16=self.bf16,
            )
            if self.stop_early:
                self._let_leave(misclassified(self.model, points, self.labels, logits, bf16=self.bf16))
                gradient = self.keep(gradient)
            if len(self.images) == 0:
                return
            yield gradient.nan_to_num(nan=0.0)

    def keep(self, rows: Tensor) -> Tensor:
        """Return those rows of the last round's images that are still here."""
        return rows if len(rows) == len(self.images) else rows[self._stayed]

    def found(self) -> Tensor:
        """Return the first misclassified iterate of each image, or its last iterate, (N, C, H, W)."""
        self._result[self._places] = self.images + self.delta
        return self._result

    def _let_leave(self, broken: Tensor) -> None:
        self._stayed = ~broken
        if bool(broken.any()):
            self._result[self._places[broken]] = self.images[broken] + self.delta[broken]
            self.images, self.labels, self.delta, self._places = (
                rows[self._stayed] for rows in (self.images, self.labels, self.delta, self._places)
            )
