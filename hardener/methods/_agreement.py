"""How far two answers to an image lie apart, which a method may hold against the network."""

from __future__ import annotations

import math

import torch
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
    mean = torch.logaddexp(first, second) - math.log(2)
    apart = [kl_div(mean, one, reduction="none", log_target=True).sum(dim=1) for one in (first, second)]
    return (apart[0] + apart[1]) / 2
