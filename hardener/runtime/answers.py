"""Which class a network takes an image for."""

from __future__ import annotations

import math

from torch import Tensor

NO_ANSWER = -1


def chosen_class(logits: Tensor) -> Tensor:
    """Return the class of the largest of the logits (N, K), as (N,) int64; −1 where that is NaN or infinite.

    Such a row says nothing: where NaN is the largest, `argmax` names the first class that has it, which the images of
    that class would count as right. A class that is left out by a logit of −inf stays a way to answer.
    """
    found = logits.argmax(dim=1)
    largest = logits.gather(1, found.unsqueeze(1)).squeeze(1)
    return found.masked_fill(~largest.isfinite(), NO_ANSWER)


def finite(value: Tensor) -> float | None:
    """Return a scalar's number; None where it is NaN or infinite."""
    number = float(value)
    return number if math.isfinite(number) else None
