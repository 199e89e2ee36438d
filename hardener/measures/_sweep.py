"""One sweep through growing eps, made from the largest one down."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hardener.measures.run import LentSweep
from hardener.runtime.model_state import as_float
from hardener.threat import with_rounding


def sweep_down(
    sweep: LentSweep,
    images: Tensor,
    labels: Tensor,
    radii: Sequence[float],
    distance: Tensor,
    *,
    generator: torch.Generator | None = None,
    on_done: Callable[[int], None] | None = None,
) -> Tensor:
    """Return how far at most each image is from one that the model gets wrong, as far as one sweep finds out.

    From the largest eps down, an image is attacked as long as it falls, each time from where it fell at the next
    larger eps. What stands at one eps stands at all smaller ones as well, since the larger ball holds the smaller.

    Args:
        sweep: the attack.
        images: (N, C, H, W), float in [0, 1] or uint8.
        labels: (N,) int64.
        radii: ascending, > 0.
        distance: (N,), what is known already: 0 where the clean image is wrong, inf where nothing is.
        generator: of the attack, on the model's device.
        on_done: called with a number of images as they are dealt with: N for each eps.
    Returns:
        (N,), the least of `distance` and of what fell.
    """
    report = on_done or (lambda _: None)
    found, shown = distance.double().clone(), as_float(images).clone()
    where = torch.arange(len(images))
    for number, eps in enumerate(reversed(radii)):
        attacked = where[found[where] > with_rounding(eps)]
        report(len(images) - len(attacked))
        if len(attacked) == 0:
            continue
        begin = shown[attacked] if number > 0 else None  # where none was shown, that is the image itself
        stands, fooling, length = sweep(images[attacked], labels[attacked], eps, begin, generator)
        report(len(attacked))
        fell = attacked[~stands]
        found[fell] = torch.minimum(found[fell], length[~stands].double())
        shown[fell] = fooling[~stands]
        where = where[~torch.isin(where, attacked[stands])]
    return found
