"""Two files made from one network: how right and how robust each is, on the same images and under the same attacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hardener.evaluation.robust_accuracy import AttackPlan, Course, RobustAccuracy, robust_accuracy
from hardener.evaluation.suite import DEPLOYED, DEPLOYED_QUICK
from hardener.measures.certification import Smoothing, measure_certification
from hardener.models.borrowed_gradient import BorrowedGradient
from hardener.progress import Reporter
from hardener.runtime.answers import chosen_class
from hardener.statistics.interval import clopper_pearson
from hardener.statistics.paired import newcombe_paired
from hardener.threat import ThreatModel

SELECTION_DRAWS, DRAWS = 16, 400
RADIUS = 0.5  # that accuracy is certified at, in units of the noise's std
_MOST_VALUES = 2**22  # of a batch: 128 images of 32x32 in colour and more, 27 of 224x224


@dataclass(frozen=True)
class Effort:
    """What is spent on each of the two files."""

    attacks: tuple[AttackPlan, ...]
    certified_images: int


THOROUGH = Effort(DEPLOYED, 100)
QUICK = Effort(DEPLOYED_QUICK, 25)


@dataclass(frozen=True)
class Terms:
    """What both files face: `noise_sigma` is the std of the noise that smoothing adds, `seed` that of all draws."""

    threat: ThreatModel
    noise_sigma: float
    effort: Effort
    seed: int = 0


@dataclass(frozen=True)
class Shown:
    """What one file showed.

    Attributes:
        predictions: (N,) int64, of the clean images.
        clean, robust: (N,) bool, right when clean, and still right in the worst case.
        certified: (M,) bool, of the first M images: the smoothed classifier is right, certified to the radius.
    """

    predictions: Tensor
    clean: Tensor
    robust: Tensor
    certified: Tensor


@dataclass(frozen=True)
class SideBySide:
    """Two files beside each other; `certified_radius` and `noise_sigma` in [0, 1] pixels, l2."""

    first: Shown
    second: Shown
    threat: ThreatModel
    attacks: tuple[str, ...]
    noise_sigma: float
    certified_radius: float

    @property
    def agreeing(self) -> Tensor:
        """(N,) bool: both give the same answer."""
        return self.first.predictions == self.second.predictions


def share(right: Tensor) -> tuple[float, tuple[float, float]]:
    """Return the share of a (N,) bool, and its exact 95 % interval."""
    count = int(right.sum())
    return count / len(right), clopper_pearson(count, len(right))


def difference(first: Tensor, second: Tensor) -> tuple[float, tuple[float, float]]:
    """Return the second share minus the first, of the same images, and its paired 95 % interval."""
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return (only_second - only_first) / len(first), newcombe_paired(both, only_second, only_first, neither)


def compare_files(
    files: Sequence[nn.Module], network: nn.Module, images: Tensor, labels: Tensor, terms: Terms, reporter: Reporter
) -> SideBySide:
    """Attack and certify two deployed files alike.

    Gradient attacks climb the network's gradients and count what the file answers; attacks that transfer try the
    network's own adversarial images; attacks by scores ask the file alone, so that rounding hides no gradient from
    them. At last each file is shown the adversarial images that fooled the other: neither profits from an attack's
    luck.

    Args:
        files: two classifiers, (N, C, H, W) in [0, 1] -> logits (N, K), without gradients.
        network: what both were made from, differentiable.
        images: (N, C, H, W), float in [0, 1] or uint8.
        labels: (N,) int64.
    Raises:
        HardenerError: there are no images.
    """
    plans = [plan.lent(network) for plan in terms.effort.attacks]
    batch_size = max(4, min(128, _MOST_VALUES // math.prod(images.shape[1:])))
    models = [BorrowedGradient(file, network) for file in files]
    with reporter.track("attacking both files", 2 * len(images) * len(plans), "images") as advance:
        results = [
            robust_accuracy(
                model, images, labels, plans, terms.threat,
                batch_size=batch_size, generator=torch.Generator().manual_seed(terms.seed),
                course=Course(on_attacked=advance, keep_examples=len(images)),
            )
            for model in models
        ]  # fmt: skip
    exchanged = [
        _shown_what_fooled(model, own, other, labels, batch_size)
        for model, own, other in zip(models, results, reversed(results), strict=True)
    ]
    radius, count = RADIUS * terms.noise_sigma, min(terms.effort.certified_images, len(images))
    certified = []
    with reporter.track("certifying both files", 2 * count, "images") as advance:
        for model in models:
            _, radii = measure_certification(
                model, images[:count], labels[:count],
                Smoothing(terms.noise_sigma, selection_draws=SELECTION_DRAWS, draws=DRAWS, radii=(radius,)),
                batch_size=batch_size, generator=torch.Generator().manual_seed(terms.seed), on_done=advance,
            )  # fmt: skip
            certified.append(radii >= radius)  # nan, wrong or abstaining, is not
    first, second = (
        Shown(result.predictions, result.clean_correct, robust, proven)
        for result, robust, proven in zip(results, exchanged, certified, strict=True)
    )
    names = tuple(dict.fromkeys(plan.name for plan in plans))
    return SideBySide(first, second, terms.threat, names, terms.noise_sigma, radius)


@torch.no_grad()
def _shown_what_fooled(
    model: nn.Module, own: RobustAccuracy, other: RobustAccuracy, labels: Tensor, batch_size: int
) -> Tensor:
    robust = own.robust_correct.clone()
    places = [index for index in other.examples if robust[index]]
    for first in range(0, len(places), batch_size):
        piece = places[first : first + batch_size]
        shown = torch.stack([other.examples[index] for index in piece])
        robust[piece] = chosen_class(model(shown)).eq(labels[piece])
    return robust
