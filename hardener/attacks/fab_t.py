"""The targeted fast adaptive boundary attack."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier, value_and_gradient
from hardener.attacks._hyperplane import onto_hyperplane
from hardener.attacks._layout import fast_layout
from hardener.attacks._precision import answers
from hardener.attacks._targets import lead, likely_targets, targets_at_once
from hardener.geometry import norm_geometry
from hardener.losses.margin import margin
from hardener.runtime.answers import chosen_class

_BIAS = 0.1
"""alpha_max of the paper: how far at most a step leans towards the point nearest to the image."""
_OVERSHOOT = 1.05
"""eta of the paper: steps go a little beyond the hyperplane, because the boundary is only nearly one."""
_RETURN = 0.9
"""beta of the paper: from a misclassified point the search goes on at this share of its distance."""
_TINY = 1e-12


def fab_t(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int = 100,
    targets: int = 9,
    nearest: bool = False,
    bf16: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Look for the nearest misclassified image by stepping on the linearised boundary to one wrong class at a time.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS.
        eps: an image leaves as soon as it is misclassified within this distance.
        steps: gradient steps for each target, >= 1.
        targets: wrong classes to try, >= 1; all K - 1 where there are fewer.
        nearest: let no image leave: all steps and targets go into the smallest distance.
        bf16: take gradients in bfloat16. Whether a point is misclassified is for float32 to say wherever it could be
            the result, and so is how far its target's logit lags; only after a step back is the lag bfloat16's, so a
            distance may be found a little longer. Of a point that is farther than the nearest one found, bfloat16
            may say that it is misclassified: that costs a step back at worst.
        generator: not used; the attack is deterministic.
    Returns:
        (N, C, H, W) in [0, 1]: the nearest misclassified image that was found, which may lie farther than `eps`; the
        image itself where none was found or it is misclassified already.
    Source: Croce and Hein, "Minimally Distorted Adversarial Examples with a Fast Adaptive Boundary Attack", ICML 2020,
        Algorithm 1; with one target at a time, "Reliable Evaluation of Adversarial Robustness with an Ensemble of
        Diverse Parameter-free Attacks", ICML 2020 (FAB-T of the standard suite).
    """
    size = norm_geometry(norm).size
    images = fast_layout(images)
    classes, standing = likely_targets(model, images, labels, targets)
    found = images.clone()
    distance = torch.full_like(images[:, 0, 0, 0], torch.inf)
    searched = standing.nonzero().squeeze(1)
    place, rank = searched, 0
    while len(place) > 0 and rank < classes.shape[1]:
        aims = classes[place, rank:]
        aims = aims[:, : (many := targets_at_once(images[place], aims))]
        # a row for each image and each of its targets: all images with their first target, then all with their second
        clean = at = fast_layout(images[place].repeat(many, 1, 1, 1))
        truth, aim = labels[place].repeat(many), aims.T.reshape(-1)
        gap: Tensor | None = None
        for _ in range(steps):
            at = _step(model, clean, truth, aim, at, norm, gap, bf16)
            length = size(at - clean)
            logits = _look(model, at, truth, length < distance[place].repeat(many), bf16)
            broken = chosen_class(logits) != truth
            _keep_nearer(found, distance, place, at, torch.where(broken, length, torch.inf))
            at = torch.where(broken.view(-1, 1, 1, 1), clean + _RETURN * (at - clean), at)
            if bf16:
                gap = torch.where(broken, torch.nan, lead(logits, truth, targets=aim))
            left = distance[place] > eps
            if not nearest and not bool(left.all()):
                place, rows = place[left], left.repeat(many)
                clean, truth, aim, at = clean[rows], truth[rows], aim[rows], at[rows]
                gap = None if gap is None else gap[rows]
                if len(place) == 0:
                    break
        rank += many
    reached = searched[distance[searched].isfinite()]
    if len(reached) > 0:
        found[reached] = _final_search(model, images[reached], labels[reached], found[reached])
    return found


def _keep_nearer(found: Tensor, distance: Tensor, place: Tensor, at: Tensor, length: Tensor) -> None:
    """Put the nearest broken row of each image, `length` away, where it is nearer than what was found."""
    length, best = length.view(-1, len(place)).min(dim=0)
    nearer = (length < distance[place]).nonzero().squeeze(1)
    found[place[nearer]] = at[best[nearer] * len(place) + nearer]
    distance[place[nearer]] = length[nearer]


def _step(
    model: Classifier,
    clean: Tensor,
    labels: Tensor,
    targets: Tensor,
    at: Tensor,
    norm: str,
    known_gap: Tensor | None,
    bf16: bool,
) -> Tensor:
    """Step from `at` over the target's hyperplane, leaning towards the point of it that is nearest to the image.

    `known_gap`: the target's lead as float32 found it, NaN where it did not look.
    """
    size = norm_geometry(norm).size
    _, gap, normal = value_and_gradient(model, at, labels, objective=partial(lead, targets=targets), bf16=bf16)
    if known_gap is not None:
        gap = torch.where(known_gap.isnan(), gap, known_gap)
    normal = normal.nan_to_num(nan=0.0)  # a part that is NaN costs the attack that pixel, not the image
    gap_of_clean = gap + (normal * (clean - at)).sum(dim=(1, 2, 3))
    from_here = onto_hyperplane(at, normal, -gap, norm=norm)
    from_clean = onto_hyperplane(clean, normal, -gap_of_clean, norm=norm)
    here = size(from_here)
    bias = (here / (here + size(from_clean)).clamp_min(_TINY)).clamp_max(_BIAS).view(-1, 1, 1, 1)
    ahead = (1 - bias) * (at + _OVERSHOOT * from_here) + bias * (clean + _OVERSHOOT * from_clean)
    inside: Tensor = ahead.clamp(0, 1)
    return inside


def _look(model: Classifier, points: Tensor, labels: Tensor, nearer: Tensor, bf16: bool) -> Tensor:
    """Return logits, (N, K): with `bf16` in float32 where a point is `nearer` than any found or looks unbroken.

    What else looks misclassified cannot be the result; the search goes back from there, however large the lead is.
    """
    if not bf16:
        return answers(model, points, bf16=False)
    logits = answers(model, points, bf16=True)
    exact = nearer | (margin(logits, labels) <= 0)
    if bool(exact.any()):
        logits[exact] = answers(model, points[exact], bf16=False).to(logits.dtype)
    return logits


@torch.no_grad()
def _final_search(model: Classifier, clean: Tensor, labels: Tensor, broken: Tensor, rounds: int = 3) -> Tensor:
    """Close in on the boundary between an image and its misclassified neighbour, by the chord of the logits' gap."""
    logits = model(broken)
    new_class = logits.argmax(dim=1)
    inner, outer = clean, broken
    inner_gap, outer_gap = lead(model(clean), labels, targets=new_class), lead(logits, labels, targets=new_class)
    for _ in range(rounds):
        crossing = (inner_gap / (inner_gap - outer_gap).clamp_max(-_TINY)).clamp(0, 1)
        share = (crossing + 0.01 * (1 - crossing)).view(
            -1, 1, 1, 1
        )  # or rounding may leave it this side of the boundary
        between = inner + share * (outer - inner)
        logits = model(between)
        gap = lead(logits, labels, targets=new_class)
        over = chosen_class(logits) != labels
        rows = over.view(-1, 1, 1, 1)
        outer, inner = torch.where(rows, between, outer), torch.where(rows, inner, between)
        outer_gap, inner_gap = torch.where(over, gap, outer_gap), torch.where(over, inner_gap, gap)
    return outer
