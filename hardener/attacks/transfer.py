"""Transfer: what fools another model may fool this one."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.attacks.pgd import pgd
from hardener.errors import HardenerError
from hardener.runtime.answers import chosen_class


def transfer(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    surrogate: Classifier | None = None,
    steps: int = 20,
    random_start: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Attack a surrogate with PGD, on the cross-entropy and on the margin, and see whether that fools the model.

    The model is asked for answers only; the gradients are the surrogate's. The surrogate's images take all steps,
    past its own boundary, since what barely fools it seldom fools another.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode; it need not be differentiable.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS.
        eps: radius, a fraction of the pixel range.
        surrogate: as `model`, for the same classes, differentiable, in eval mode and on the images' device.
        steps: gradient steps, >= 1, of each of the two.
        random_start: start at a uniform random point of the ball; at the image otherwise.
        generator: of the random starts.
    Returns:
        (N, C, H, W), inside ball and box: the first that fools the model, else the last; an image that is
        misclassified already stays.
    Raises:
        HardenerError: no surrogate.
    Source: Papernot, McDaniel, Goodfellow, Jha, Celik, Swami, "Practical Black-Box Attacks against Machine Learning",
        AsiaCCS 2017; with the attack of Madry et al., ICLR 2018.
    """
    if surrogate is None:
        raise HardenerError(
            "the attack transfer needs a surrogate, another model of the same classes whose gradients it follows: "
            "pass --surrogate RUN."
        )
    found = images.clone()
    standing = _standing(model, images, labels).nonzero().squeeze(1)
    for loss in ("ce", "margin"):
        if len(standing) == 0:
            break
        candidates = pgd(
            surrogate,
            images[standing],
            labels[standing],
            norm=norm,
            eps=eps,
            steps=steps,
            random_start=random_start,
            loss=loss,
            stop_early=False,
            generator=generator,
        )
        found[standing] = candidates
        standing = standing[_standing(model, candidates, labels[standing])]
    return found


@torch.no_grad()
def _standing(model: Classifier, images: Tensor, labels: Tensor) -> Tensor:
    return chosen_class(model(images)).eq(labels)
