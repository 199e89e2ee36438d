"""How far two answers to an image lie apart, which a method may hold against the network."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import kl_div


def squared_difference(logits: Tensor, others: Tensor) -> Tensor:
    """Return the mean squared difference of an image's logits, (N,).

    Args:
        logits, others: (N, K), in at least float32.
    """
    return (logits - others).square().mean(dim=1)


def jensen_shannon(logits: Tensor, others: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence of an image's two answers, (N,), in [0, log 2].

    Args:
        logits, others: (N, K), in at least float32.
    """
    first, second = logits.log_softmax(dim=1), others.log_softmax(dim=1)
    mean = ((first.exp() + second.exp()) / 2).clamp(min=1e-12).log()
    apart = kl_div(mean, first, reduction="none", log_target=True) + kl_div(
        mean, second, reduction="none", log_target=True
    )
    return apart.sum(dim=1) / 2
