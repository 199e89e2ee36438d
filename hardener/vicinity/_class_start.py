"""A start for a climb of one step that tells the network little of the label: each class's own step from gray."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from hardener.losses.soft_cross_entropy import soft_cross_entropy
from hardener.runtime.model_state import in_eval_mode

REPLACED = (0.1, 0.5)
"""The least and the largest share of the pixels that get noise instead, as the source has it for 8/255."""


def class_start(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    soft_labels: Tensor,
    *,
    eps: float,
    noise: float,
    replaced: tuple[float, float] = REPLACED,
) -> Tensor:
    """Return a start around images, in linf.

    It is `eps` times the sign of the loss's gradient at a gray image of the same class, added or subtracted for the
    whole minibatch by chance. A share of the pixels that is drawn for the minibatch gets uniform noise instead.

    Args:
        model: images -> logits (N, K); asked in evaluation mode where it is a module. Mode and `.grad` stay.
        images: (N, C, H, W).
        soft_labels: (N, K), rows sum to 1; a mixed one counts as its largest class.
        eps: radius of the class's step, a fraction of the pixel range.
        noise: radius of the noise.
        replaced: the least and the largest share of noise, in [0, 1].
    Returns:
        (N, C, H, W), not cut to the box.
    Note: the published code keeps the classes' steps for 20 minibatches. Here they are taken anew for each, so that a
        resumed run needs none of them, at the price of a pass of min(N, K) images. Its loss is smoothed; this one is
        not. Its equal answers at both ends, smooth labels and averaged weights are `vicinity.adversarial.agreement`,
        `vicinity.labels` and `averaging`.
    Source: Pan, Tang, Li, Yao, "Mitigating Catastrophic Overfitting in Fast Adversarial Training via Label Information
        Elimination" (LIET), ICCV 2025, and its published code.
    """
    (count, classes), labels = soft_labels.shape, soft_labels.argmax(dim=1)
    is_shared = classes <= count
    asked = torch.arange(classes, device=images.device) if is_shared else labels
    gray = torch.full((len(asked), *images.shape[1:]), 0.5, device=images.device, requires_grad=True)
    targets = nn.functional.one_hot(asked, classes).float()
    with in_eval_mode(model) if isinstance(model, nn.Module) else nullcontext():
        (gradient,) = torch.autograd.grad(soft_cross_entropy(model(gray), targets), gray)
    steps = eps * gradient.sign()
    start = steps[labels] if is_shared else steps
    low, high = replaced
    share, sign = low + (high - low) * torch.rand((), device=images.device), torch.rand((), device=images.device)
    drawn = noise * (2 * torch.rand_like(start) - 1)
    start = torch.where(torch.rand_like(start) < share, drawn, start)
    return torch.where(sign < 0.5, -start, start)
