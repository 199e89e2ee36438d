"""A certificate for one answer by randomized smoothing."""

from __future__ import annotations

from functools import partial

import numpy as np

from hardener.config.answer import Certificate
from hardener.config.bundle import Bundle
from hardener.statistics.interval import certified_radius, clopper_pearson_lower

from .budget import Budget
from .probes import noisy_blocks
from .timed_model import Pixels, TimedModel

DEFAULT_NOISE_SIGMA = 0.25


async def certify(
    image: Pixels,
    predicted: int,
    bundle: Bundle,
    model: TimedModel,
    generator: np.random.Generator,
    budget: Budget,
) -> Certificate:
    """Certify the smoothed classifier's answer, with as many draws as the time allows.

    The network sees round(clip(x + noise)), a fixed function of x + noise, so the certificate holds for the
    smoothed version of that function followed by the network.

    Args:
        image: (H, W, C), the model's input.
        predicted: index of the class that the model gave.
        generator: of the noise; its seed must be a secret, or a caller could aim between the draws.
        budget: n0, n and alpha; its time is the model's to keep.
    Note: where the time runs out, n is the number of draws made until then. The bound for n draws stays valid because
        the clock, and no answer, decided on n.
    Source: Cohen, Rosenfeld, Kolter, "Certified Adversarial Robustness via Randomized Smoothing", ICML 2019,
        Algorithm CERTIFY.
    """
    noise_sigma = bundle.noise_sigma or DEFAULT_NOISE_SIGMA
    allowed = budget.selection_draws + budget.draws
    logits = await model.ask(noisy_blocks(image, [noise_sigma] * allowed, model.chunk, generator))
    votes = np.empty(0, np.int64) if logits is None else logits.argmax(axis=1)
    selecting, certifying = votes[: budget.selection_draws], votes[budget.selection_draws :]
    chosen = int(np.bincount(selecting).argmax()) if len(selecting) else None
    agreeing, made = int((certifying == chosen).sum()), len(certifying)
    bound = partial(_bound, agreeing, made, noise_sigma, budget.alpha)
    lower, radius, ceiling = await model.in_thread(bound)  # exact tails of thousands of draws take a while
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
        draws=made,
        agreeing_draws=agreeing,
        lower_bound=lower,
        confidence=1 - budget.alpha,
        largest_possible_radius=ceiling,
        meaning=_meaning(
            radius,
            made=made,
            allowed=budget.draws,
            confidence=1 - budget.alpha,
            agrees=agrees,
            trained_with_noise=trained_with_noise,
        ),
    )


def _bound(agreeing: int, made: int, noise_sigma: float, alpha: float) -> tuple[float, float | None, float]:
    """The bound of the chance of the class, the radius, and what the radius is when all agree."""
    if made == 0:
        return 0.0, None, 0.0
    lower = clopper_pearson_lower(agreeing, made, alpha)
    radius = certified_radius(agreeing, made, noise_sigma=noise_sigma, alpha=alpha)
    return lower, radius, certified_radius(made, made, noise_sigma=noise_sigma, alpha=alpha) or 0.0


def _meaning(
    radius: float | None,
    *,
    made: int,
    allowed: int,
    confidence: float,
    agrees: bool | None,
    trained_with_noise: bool,
) -> str:
    if made == 0:
        return "Not certified: the report's time ran out before the draws that would."
    if radius is None:
        first = "The draws do not settle on one class clearly enough, so nothing is certified."
    else:
        first = (
            f"With a confidence of {confidence:.2%} over the draws, no change of the model's input that is "
            "shorter than the radius alters the answer of the smoothed classifier."
        )
    sentences = [
        first,
        "The smoothed classifier is the class that the model gives most often under Gaussian noise (rounded "
        "and clipped to 8 bits). This proves nothing about the plain answer above.",
    ]
    if made < allowed:
        sentences.append(
            f"The report's time ran out after {made} of {allowed} draws; the clock and not the answers decided on that "
            "number, so the bound holds for it."
        )
    if not agrees:
        sentences.append("Here the two differ: the smoothed classifier gives another label than the plain answer.")
    if not trained_with_noise:
        sentences.append("The model was not trained with this noise, so expect small radii and abstentions.")
    sentences.append("The input is the image after decoding and scaling, not the file as sent.")
    return " ".join(sentences)
