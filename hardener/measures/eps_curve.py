"""Robust accuracy as the attacker grows stronger, until nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hardener.config.evaluation_record import EpsCurve
from hardener.errors import HardenerError
from hardener.measures._common import batches, curve_point
from hardener.measures._sweep import sweep_down
from hardener.measures.run import Case, Found, LentAttack, LentSweep
from hardener.runtime.answers import chosen_class
from hardener.runtime.model_state import measuring
from hardener.threat import NORMS, with_rounding


def eps_grid(norm: str, numel: int) -> list[float]:
    """Return the radii of a curve: doubled from a small one up to where every image can become plain gray.

    Args:
        norm: a name in NORMS.
        numel: C * H * W of an image.
    Returns:
        Ascending, > 0. In `linf`: 1/2, 1, 2, ..., 64 and 127.5 of 255. The last is always the distance
        from the box's corners to its centre, 0.5 sqrt(numel) in `l2`.
    """
    largest = NORMS[norm].gray_radius(numel)  # a model that still answers rightly there is not being attacked
    found = []
    eps = NORMS[norm].smallest_eps
    while eps < largest * 0.75:  # the last doubling ends at `largest` itself, not just before it
        found.append(eps)
        eps *= 2
    return [*found, largest]


def measure(case: Case) -> Found:
    """Follow each attack that the evaluation lends; where it lends none, sweep once from the largest eps down."""
    if not case.attacks and case.sweep is not None:
        return Found([swept_curve(case, case.sweep)])
    with case.reporter.track("eps curves", len(case.pixels) * len(case.attacks), "images") as done:
        found = measure_eps_curves(
            case.model, case.pixels, case.labels, case.attacks, eps_grid(case.ball.norm, case.pixels[0].numel()),
            batch_size=case.batch_size, generator=case.generator(), on_done=done,
        )  # fmt: skip
    return Found(found)


def measure_eps_curves(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    attacks: Sequence[LentAttack],
    radii: Sequence[float],
    *,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
    on_done: Callable[[int], None] | None = None,
) -> list[EpsCurve]:
    """Measure each attack's robust accuracy at growing eps, until it is at chance.

    An image that falls at one eps counts as fallen at every larger one, because the larger ball holds the smaller:
    only what still stands is attacked again, and a curve never rises. Each attack goes alone.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K); put into eval mode meanwhile.
        images: (N, C, H, W), float in [0, 1] or uint8.
        labels: (N,) int64.
        attacks: one whose step size is fixed keeps it at every eps, so better leave it out.
        radii: ascending, > 0, such as those of `eps_grid`.
        batch_size: images at once.
        generator: of the attacks, on the model's device.
        on_done: called with a number of images as their fate is known: N for each attack in all.
    Returns:
        A curve an attack. Its first point is eps 0, the clean accuracy; its last the first at which accuracy is at most
        1/K, or the largest eps.
    Raises:
        HardenerError: there are no images, or the radii are not ascending and > 0.
    """
    if any(low >= high for low, high in zip([0.0, *radii], radii, strict=False)):
        raise HardenerError(f"the eps of a curve must be > 0 and ascend; got {', '.join(f'{eps:g}' for eps in radii)}.")
    right, classes = _clean(model, images, labels, batch_size)
    report = on_done or (lambda _: None)
    curves = []
    for attack in attacks:
        standing = right.nonzero().squeeze(1)
        report(len(images) - len(standing))
        points = [curve_point(0.0, len(standing), len(images))]
        for eps in radii:
            if points[-1].accuracy <= 1 / classes:
                break
            left = attack.standing(images[standing], labels[standing], eps, generator)
            report(int((~left).sum()))
            standing = standing[left]
            points.append(curve_point(eps, len(standing), len(images)))
        report(len(standing))
        curves.append(EpsCurve(attack=attack.name, samples=len(images), points=points))
    return curves


def swept_curve(case: Case, sweep: LentSweep) -> EpsCurve:
    """Measure robust accuracy at growing eps by one sweep from the largest eps down.

    Returns:
        As `measure_eps_curves`. At the evaluation's own eps and beyond, what it found counts as well.
    """
    radii = eps_grid(case.ball.norm, case.pixels[0].numel())
    right, classes = _clean(case.model, case.pixels, case.labels, case.batch_size)
    known = torch.where(right, torch.inf, 0.0)
    if case.distance is not None:
        known = torch.minimum(known, case.distance)
    with case.reporter.track("eps curve", len(known) * len(radii), "images") as done:
        distance = sweep_down(sweep, case.pixels, case.labels, radii, known, generator=case.generator(), on_done=done)
    points = [curve_point(0.0, int(right.sum()), len(right))]
    for eps in radii:
        if points[-1].accuracy <= 1 / classes:
            break
        points.append(curve_point(eps, int((distance > with_rounding(eps)).sum()), len(right)))
    return EpsCurve(attack="fast", samples=len(right), points=points)


@torch.no_grad()
def _clean(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> tuple[Tensor, int]:
    """Return which images are right, (N,) bool, and the number of classes."""
    right, classes = [], 0
    with measuring(model) as device:
        for clean, truth in batches(images, labels, batch_size, device):
            logits = model(clean)
            classes = logits.shape[1]
            right.append(chosen_class(logits).eq(truth).cpu())
    return torch.cat(right), classes
