"""Auto-PGD on an untargeted objective."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._apgd import Climb, climb
from hardener.attacks._gradient import Classifier
from hardener.catalog import resolve
from hardener.losses import OBJECTIVES


def apgd(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 100,
    loss: str = "ce",
    random_start: bool = True,
    eot_draws: int = 1,
    bf16: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Climb an objective from a large step that halves itself when it no longer helps; images that fall leave at once.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS.
        eps: radius, a fraction of the pixel range.
        steps: gradient steps, >= 1.
        loss: what is climbed: `ce`, `dlr` or `margin`; with two classes `dlr` is the margin.
        random_start: start at a uniform random point of the ball; at the image otherwise.
        eot_draws: passes that each gradient is averaged over, for models that answer differently twice.
        bf16: take gradients and objective in bfloat16. An image falls only where a float32 pass agrees, and goes on
            otherwise; a rise too small for three digits goes unseen, so a step size may be halved early.
        generator: of the random start.
    Returns:
        (N, C, H, W), inside ball and box.
    Raises:
        HardenerError: unknown loss.
    Note: the authors' program starts on the sphere of radius eps, this in the ball, whose points lie almost all near
        the sphere where there are many pixels.
    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
        Attacks", ICML 2020, Algorithm 1; `ce` is the suite's APGD-CE.
    """
    found, _ = climb(
        model,
        images,
        labels,
        resolve(OBJECTIVES, loss, "loss"),
        Climb(norm, eps, steps, random_start, eot_draws, bf16),
        generator=generator,
    )
    return found
