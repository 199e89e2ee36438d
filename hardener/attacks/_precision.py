"""Passes in bfloat16, and the answers that they may not give."""

from __future__ import annotations

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.losses.margin import margin
from hardener.runtime.answers import chosen_class

DOUBT = 2**-5
"""Of an image's largest |logit|: a lead that bfloat16 puts this near to 0, or above, is asked for again in float32."""


@torch.no_grad()
def answers(model: Classifier, points: Tensor, *, bf16: bool) -> Tensor:
    """Return logits, (N, K), in at least float32; with `bf16` from a pass under bfloat16 autocast."""
    with torch.autocast(points.device.type, dtype=torch.bfloat16, enabled=bf16):
        logits = model(points)
    return logits if logits.dtype.itemsize >= 4 else logits.float()


@torch.no_grad()
def misclassified(model: Classifier, points: Tensor, labels: Tensor, logits: Tensor, *, bf16: bool) -> Tensor:
    """Return which points the model gets wrong, (N,) bool, as float32 sees it.

    Args:
        points: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        logits: (N, K), the model's at these points.
        bf16: the logits come from bfloat16. Where they are wrong, or so near to it that their three digits cannot
            tell, a float32 pass decides; where they are surely right, they are taken at their word, which can only
            miss a point, never count one that does not fool the model.
    """
    if not bf16:
        return chosen_class(logits) != labels
    doubtful = ~(margin(logits, labels) < -DOUBT * logits.abs().amax(dim=1))
    if bool(doubtful.any()):
        exact = answers(model, points[doubtful], bf16=False)
        doubtful[doubtful.clone()] = chosen_class(exact) != labels[doubtful]
    return doubtful
