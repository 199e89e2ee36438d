"""Whether a model's answers move as its gradient says, along random directions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hardener.losses.margin import margin
from hardener.runtime.gradient import gradient_of

DIRECTIONS = 16
LOW_COSINE = 0.9
"""Below it, an answer does not move as the gradient says."""
_UNEVEN = 0.3
"""Of its length, by how much the difference with 2 h may miss twice that with h."""
_STEPS = (1 / 32 / 255, 1 / 4 / 255, 2 / 255)
"""Deep networks bend within a grey level, so that the first is small; arithmetic that rounds is resolved by larger."""
_BORDER = 2 * max(_STEPS)


def gradient_cosine(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return how far the margin's differences along random directions are what its gradient says.

    For each image it is the cosine, over random sign vectors v, of margin(x + h v) - margin(x - h v) and the gradient's
    inner product with v. An image is asked with a larger h where the cosine is low: a low one counts only if the
    differences with 2 h are twice those with h, so that neither rounding nor the bends of the network explain it.
    Images are moved four grey levels from the borders of the box first, so that all is asked inside.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), which answers the same twice.
        images: (N, C, H, W), float in [0, 1].
        labels: (N,) int64.
    Returns:
        (N,), in [-1, 1], the best over h; nan where the answer does not move, the gradient is zero or not finite, or no
        h is small enough for the network and large enough for its arithmetic.
    Note: the check of a derivative by central differences; the steps and what is made of it are ours.
    """
    inputs = images.clamp(_BORDER, 1 - _BORDER).requires_grad_()
    with torch.enable_grad():
        gradient = gradient_of(margin(model(inputs).float(), labels), inputs).float()
    inputs = inputs.detach()
    drawn = torch.randint(0, 2, (DIRECTIONS, *images.shape[1:]), generator=torch.Generator().manual_seed(0))
    signs = (2 * drawn - 1).to(inputs)
    slopes = gradient.flatten(1) @ signs.flatten(1).float().T
    found = torch.full((len(images),), torch.nan, device=images.device)
    open_ = torch.arange(len(images), device=images.device)
    for step in _STEPS:
        changes = _changes(model, inputs[open_], labels[open_], signs, step)
        fits = _cosine(changes, slopes[open_])
        low = ~(fits >= LOW_COSINE)
        found[open_[~low]] = fits[~low]
        open_, changes, fits = open_[low], changes[low], fits[low]
        if len(open_) == 0:
            break
        wider = _changes(model, inputs[open_], labels[open_], signs, 2 * step)
        steady = (wider - 2 * changes).norm(dim=1) <= _UNEVEN * wider.norm(dim=1)
        found[open_[steady]] = torch.fmax(found[open_[steady]], fits[steady])
    return found


@torch.no_grad()
def _changes(model: nn.Module, images: Tensor, labels: Tensor, signs: Tensor, step: float) -> Tensor:
    """Return the margins' central differences, (N, directions)."""
    found = [
        margin(model(images + step * sign).float(), labels) - margin(model(images - step * sign).float(), labels)
        for sign in signs
    ]
    return torch.stack(found, dim=1)


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine of each pair of rows, nan where one is 0 or not finite."""
    first, second = first.double(), second.double()
    lengths = first.norm(dim=1) * second.norm(dim=1)
    found: Tensor = (first * second).sum(dim=1) / lengths
    return found.float()
