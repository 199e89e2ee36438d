"""Certified accuracy by randomized smoothing, with as many draws as it takes to decide."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor, nn

from hardener.config.evaluation_record import Certification
from hardener.errors import HardenerError
from hardener.measures._common import batches, curve_point
from hardener.measures.run import Case, Found
from hardener.runtime.answers import chosen_class
from hardener.runtime.model_state import measuring
from hardener.statistics.betting import Contest, lower_bound

RADII = (0.0, 0.5, 1.0)
"""In units of the noise's std; those that no answers could certify in the draws allowed are left out."""
MOST_DRAWS = 100_000
"""That an image gets at most, for radii that are asked for."""
_FIRST_ROUND, _LAST_ROUND = 8, 128
"""Draws an image between two looks at them: a quarter of those made, within these bounds."""


def measure(case: Case) -> Found:
    """Certify the images, smoothed with the noise of training; the values are certified radii."""
    with case.reporter.track("certifying", len(case.pixels), "images") as done:
        record, radius = measure_certification(
            case.model, case.pixels, case.labels, asked_smoothing(case.noise_sigma, case.radii),
            batch_size=case.batch_size, generator=case.generator(), on_done=done,
        )  # fmt: skip
    return Found(record.model_copy(update={"noise_is_default": case.noise_is_default}), radius)


@dataclass(frozen=True)
class Smoothing:
    """How a model is smoothed, and how surely it is certified.

    Attributes:
        noise_sigma: std of the noise, in [0, 1] pixels, > 0.
        selection_draws: those that choose an image's class, >= 1.
        draws: that are made for an image at most, >= 1, where fewer decide nothing.
        alpha: the chance, in (0, 1), that an image's certificate is wrong.
        radii: to certify at, ascending and >= 0, in [0, 1] pixels, l2; by default 0, 1/2 and 1 times `noise_sigma`, as
            far as `draws` reach.
    Raises:
        ValueError: `noise_sigma` <= 0, fewer than one draw, or radii that do not ascend from 0 or above.
    """

    noise_sigma: float
    selection_draws: int = 32
    draws: int = 1000
    alpha: float = 0.001
    radii: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.noise_sigma <= 0 or self.selection_draws < 1 or self.draws < 1:
            got = f"{self.noise_sigma}, {self.selection_draws}, {self.draws}"
            raise ValueError(f"need noise_sigma > 0 and draws >= 1; got {got}")
        if any(low >= high for low, high in pairwise([-1e-300, *(self.radii or ())])):
            raise ValueError(f"need radii >= 0 that ascend; got {self.radii}")

    def contest(self, images: int, radii: Sequence[float]) -> Contest:
        """Return the tests of so many images against the shares that these radii need."""
        shares = [NormalDist().cdf(radius / self.noise_sigma) for radius in radii]
        return Contest(shares, images, self.alpha, self.draws)

    def largest(self, draws: int) -> float:
        """Return the largest radius that so many draws certify, if all of them agree."""
        return max(self.noise_sigma * NormalDist().inv_cdf(max(lower_bound(draws, draws, self.alpha), 0.5)), 0.0)

    def asked_radii(self) -> list[float]:
        """Return the radii to certify at."""
        if self.radii is not None:
            return list(self.radii)
        own = [share * self.noise_sigma for share in RADII]
        reached = self.contest(1, own)
        reached.take(np.array([0]), np.array([self.draws]), self.draws)  # if all of them agree
        return own[: max(int(reached.certified[0]), 1)]


def asked_smoothing(noise_sigma: float, radii: Sequence[float]) -> Smoothing:
    """Return how to smooth for these radii, ascending; where there are none, by the defaults.

    An image may take twice the draws that decide the largest radius where all of them agree.

    Raises:
        HardenerError: a radius is beyond what `MOST_DRAWS` could certify, if all of them agreed.
    """
    usual = Smoothing(noise_sigma)
    if not radii:
        return usual
    draws, reached = usual.draws, usual.largest(MOST_DRAWS // 2)
    if radii[-1] > reached:
        raise HardenerError(
            f"--radius {radii[-1]:g} lies beyond what {MOST_DRAWS // 2:,} draws certify where all agree, with noise of "
            f"{noise_sigma:g} (the training's, or the default): at most {math.floor(1000 * reached) / 1000:g}. Name a "
            "smaller one, or train with more noise."
        )
    while radii[-1] > usual.largest(draws // 2):
        draws = min(2 * draws, MOST_DRAWS)
    return Smoothing(noise_sigma, draws=draws, radii=tuple(radii))


@torch.no_grad()
def measure_certification(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    smoothing: Smoothing,
    *,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
    on_done: Callable[[int], None] | None = None,
) -> tuple[Certification, Tensor]:
    """Certify the smoothed classifier: the class that the model gives most often under Gaussian noise.

    What is certified is that classifier and not the plain one. Its answer to an image is chosen from
    `selection_draws` noisy copies. Fresh draws decide one radius after the other, from the smallest up, whether the
    model gives it often enough; they end as soon as a radius is refused or the last one certified, or is
    given up: the draws still allowed are unlikely to certify it.

    Args:
        model: (N, C, H, W) -> logits (N, K); put into eval mode meanwhile. It is asked about noisy images as they
            are, not clipped to [0, 1]: the theorem holds for any function of image + noise, and clipping is part of
            the function where a model does it.
        images: (N, C, H, W), float in [0, 1] or uint8.
        labels: (N,) int64.
        batch_size: noisy copies at once.
        generator: of the noise, on the model's device.
        on_done: called with a number of images as they are dealt with; N in all.
    Returns:
        The record, and each image's certified radius, (N,) float64, the largest of those asked for: nan where the
        smoothed classifier abstains or is wrong. A point counts the images that are right and certified to at least
        its radius. `smoothed_accuracy` counts the right classes before anything is certified.
    Raises:
        HardenerError: there are no images.
    Note: the tests take the place of the paper's fixed number of draws and its Clopper-Pearson bound. The chance that
        an image's certificate is wrong is at most `alpha`, whenever the draws end: a radius is tested only once all
        smaller ones are certified, so the first that does not hold would have to be certified wrongly.
    Source: Cohen, Rosenfeld, Kolter, "Certified Adversarial Robustness via Randomized Smoothing", ICML 2019,
        section 3.2.2, the pseudocode CERTIFY; with the tests of `hardener.statistics.betting`.
    """
    asked = smoothing.asked_radii()
    radii, rights, tally = [], 0, _Tally()
    with measuring(model) as device:
        for clean, truth in batches(images, labels, batch_size, device):
            votes = _votes(model, clean, smoothing.selection_draws, smoothing.noise_sigma, batch_size, generator)
            chosen = votes.argmax(dim=1)
            contest = smoothing.contest(len(clean), asked)
            tally.draws += _decide(model, clean, chosen, contest, smoothing, batch_size, generator)
            right = (chosen.eq(truth) & (votes.amax(dim=1) > 0)).tolist()
            reached = contest.certified.tolist()
            radii += [asked[c - 1] if c > 0 and ok else math.nan for c, ok in zip(reached, right, strict=True)]
            rights, tally.abstained = rights + sum(right), tally.abstained + reached.count(0)
            tally.undecided += int((contest.open | contest.given_up).sum())
            if on_done is not None:
                on_done(len(clean))
    radius = torch.tensor(radii, dtype=torch.float64)
    return _record(smoothing, radius, rights, tally), radius


@dataclass
class _Tally:
    """What is counted over all images: those that abstain, those with a radius undecided, and draws that decided."""

    abstained: int = 0
    undecided: int = 0
    draws: int = 0


def _decide(
    model: nn.Module,
    clean: Tensor,
    chosen: Tensor,
    contest: Contest,
    smoothing: Smoothing,
    batch_size: int,
    generator: torch.Generator | None,
) -> int:
    """Draw until all is decided or the draws allowed are made; return how many were, over all images."""
    made, spent, agreeing = 0, 0, np.zeros(len(clean), np.int64)
    while made < smoothing.draws and contest.open.any():
        left = np.flatnonzero(contest.open)
        where = torch.from_numpy(left).to(clean.device)
        more = min(max(_FIRST_ROUND, min(made // 4, _LAST_ROUND)), smoothing.draws - made)
        votes = _votes(model, clean[where], more, smoothing.noise_sigma, batch_size, generator)
        agreeing[left] += votes.gather(1, chosen[where].unsqueeze(1)).squeeze(1).cpu().numpy()
        made, spent = made + more, spent + more * len(left)
        contest.take(left, agreeing[left], made)
    return spent


def _record(smoothing: Smoothing, radius: Tensor, rights: int, tally: _Tally) -> Certification:
    return Certification(
        samples=len(radius),
        noise_sigma=smoothing.noise_sigma,
        selection_draws=smoothing.selection_draws,
        draws=smoothing.draws,
        mean_draws=tally.draws / len(radius),
        undecided=tally.undecided,
        confidence=1 - smoothing.alpha,
        abstained=tally.abstained,
        smoothed_accuracy=rights / len(radius),
        points=[curve_point(asked, int((radius >= asked).sum()), len(radius)) for asked in smoothing.asked_radii()],
    )


def _votes(
    model: nn.Module,
    clean: Tensor,
    draws: int,
    noise_sigma: float,
    batch_size: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Count the answers to `draws` noisy copies of each image, (N, K) int64."""
    at_once = max(1, batch_size // len(clean))  # few images fill a batch with several draws of each
    counts: Tensor | None = None
    for first in range(0, draws, at_once):
        copies = min(at_once, draws - first)
        repeated = clean.repeat(copies, 1, 1, 1)
        noise = torch.randn(repeated.shape, generator=generator, device=clean.device, dtype=clean.dtype)
        logits = model(repeated + noise_sigma * noise)
        if counts is None:
            counts = torch.zeros(len(clean), logits.shape[1], dtype=torch.int64, device=clean.device)
        chosen = chosen_class(logits).view(copies, len(clean)).T
        counts.scatter_add_(1, chosen.clamp_min(0), (chosen >= 0).to(counts.dtype))  # NaN votes for no class
    assert counts is not None, "there is at least one draw"
    return counts
