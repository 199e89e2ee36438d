"""A certificate for one answer by randomized smoothing, with as many draws as it takes to decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

import numpy as np

from hardener.config.answer import Certificate
from hardener.config.bundle import Bundle
from hardener.statistics.betting import Contest, lower_bound

from .budget import Budget
from .probes import noisy_blocks
from .timed_model import Pixels, TimedModel

DEFAULT_NOISE_SIGMA = 0.25
RADII = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""In units of the noise's std: the draws end once it is settled which of these are certified."""
_FIRST_ROUND, _LAST_ROUND = 8, 128
"""Draws between two looks: a quarter of those made, within these bounds."""


@dataclass(frozen=True)
class _Decided:
    """What the draws say: `agreeing` of `made` gave the chosen class; `settled` is whether more could not help."""

    agreeing: int
    made: int
    settled: bool


async def certify(
    image: Pixels,
    predicted: int,
    bundle: Bundle,
    model: TimedModel,
    generator: np.random.Generator,
    budget: Budget,
) -> Certificate:
    """Certify the smoothed classifier's answer, with the draws that it takes and the budget and the time allow.

    The network sees round(clip(x + noise)), a fixed function of x + noise, so the certificate holds for the
    smoothed version of that function followed by the network.

    Args:
        image: (H, W, C), the model's input.
        predicted: index of the class that the model gave.
        generator: of the noise; its seed must be a secret, or a caller could aim between the draws.
        budget: n0, most of n, and alpha; its time is the model's to keep.
    Note: a test that may stop at any time takes the place of the paper's fixed n and its Clopper-Pearson bound, so the
        draws end when RADII are settled, the budget is made or the time is over, and the chance that the radius is too
        large is at most alpha all the same.
    Source: Cohen, Rosenfeld, Kolter, "Certified Adversarial Robustness via Randomized Smoothing", ICML 2019,
        Algorithm CERTIFY; with the bound of `hardener.statistics.betting`.
    """
    noise_sigma = bundle.noise_sigma or DEFAULT_NOISE_SIGMA
    radii = _reached(budget, noise_sigma)
    logits = await model.ask(noisy_blocks(image, [noise_sigma] * budget.selection_draws, model.chunk, generator))
    selecting = np.empty(0, np.int64) if logits is None else logits.argmax(axis=1)
    chosen = int(np.bincount(selecting).argmax()) if len(selecting) else None
    decided = _Decided(0, 0, settled=False)
    if chosen is not None:
        decided = await _decide(image, chosen, radii, noise_sigma, model, generator, budget)
    radius, lower, ceiling = await model.in_thread(partial(_bounds, decided, noise_sigma, budget.alpha))
    agrees = None if chosen is None else chosen == predicted
    trained_with_noise = bundle.noise_sigma == noise_sigma
    return Certificate(
        radius=radius,
        abstained=radius is None,
        label=None if chosen is None else bundle.classes[chosen],
        index=chosen,
        agrees_with_prediction=agrees,
        noise_sigma=noise_sigma,
        trained_with_this_noise=trained_with_noise,
        selection_draws=len(selecting),
        draws=decided.made,
        agreeing_draws=decided.agreeing,
        lower_bound=lower,
        confidence=1 - budget.alpha,
        largest_possible_radius=ceiling,
        meaning=_meaning(radius, decided, radii, budget, agrees=agrees, trained_with_noise=trained_with_noise),
    )


def _contest(radii: Sequence[float], noise_sigma: float, alpha: float) -> Contest:
    """Return the tests of one image against the shares that these radii need."""
    return Contest([NormalDist().cdf(radius / noise_sigma) for radius in radii], 1, alpha)


def _reached(budget: Budget, noise_sigma: float) -> list[float]:
    """Return the radii that the draws allowed certify if all of them agree; the first in any case."""
    radii = [share * noise_sigma for share in RADII]
    contest = _contest(radii, noise_sigma, budget.alpha)
    contest.take(np.array([0]), np.array([budget.draws]), budget.draws)
    return radii[: max(int(contest.certified[0]), 1)]


async def _decide(
    image: Pixels,
    chosen: int,
    radii: Sequence[float],
    noise_sigma: float,
    model: TimedModel,
    generator: np.random.Generator,
    budget: Budget,
) -> _Decided:
    """Draw until all radii are settled, the draws allowed are made, or the time is over."""
    contest = _contest(radii, noise_sigma, budget.alpha)
    agreeing = made = 0
    while made < budget.draws and contest.open[0]:
        more = min(max(_FIRST_ROUND, min(made // 4, _LAST_ROUND)), budget.draws - made)
        logits = await model.ask(noisy_blocks(image, [noise_sigma] * more, model.chunk, generator))
        if logits is None:
            break
        agreeing, made = agreeing + int((logits.argmax(axis=1) == chosen).sum()), made + len(logits)
        contest.take(np.array([0]), np.array([agreeing]), made)
        if len(logits) < more:
            break
    return _Decided(agreeing, made, settled=not contest.open[0])


def _bounds(decided: _Decided, noise_sigma: float, alpha: float) -> tuple[float | None, float, float]:
    """The radius, the bound of the chance of the class, and what the radius is when all draws agree."""
    lower = lower_bound(decided.agreeing, decided.made, alpha)
    ceiling = lower_bound(decided.made, decided.made, alpha)
    radius, most = (noise_sigma * NormalDist().inv_cdf(p) if p > 0.5 else None for p in (lower, ceiling))
    return radius, lower, most or 0.0


def _meaning(
    radius: float | None,
    decided: _Decided,
    radii: Sequence[float],
    budget: Budget,
    *,
    agrees: bool | None,
    trained_with_noise: bool,
) -> str:
    if decided.made == 0:
        return "Not certified: the report's time ran out before the draws that would."
    if radius is None:
        first = "The draws do not settle on one class clearly enough, so nothing is certified."
    else:
        first = (
            f"With a confidence of {1 - budget.alpha:.2%} over the draws, no change of the model's input that is "
            "shorter than the radius alters the answer of the smoothed classifier."
        )
    sentences = [
        first,
        "The smoothed classifier is the class that the model gives most often under Gaussian noise (rounded "
        "and clipped to 8 bits). This proves nothing about the plain answer above.",
    ]
    asked = ", ".join(f"{asked:.4g}" for asked in radii)
    if decided.settled:
        sentences.append(f"The draws ended once it was settled which of the radii {asked} are certified.")
    elif decided.made < budget.draws:
        sentences.append(f"The report's time ran out after {decided.made:,} of {budget.draws:,} draws.")
    else:
        sentences.append(f"All {budget.draws:,} draws were made; more might certify more of the radii {asked}.")
    sentences.append("The confidence holds whenever the draws end.")
    if not agrees:
        sentences.append("Here the two differ: the smoothed classifier gives another label than the plain answer.")
    if not trained_with_noise:
        sentences.append("The model was not trained with this noise, so expect small radii and abstentions.")
    sentences.append("The input is the image after decoding and scaling, not the file as sent.")
    return " ".join(sentences)
