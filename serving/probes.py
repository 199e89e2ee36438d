"""The robustness report on one answer: stability under everyday changes, and a certificate by smoothing."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import islice, repeat

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from hardener.config.bundle import Bundle
from hardener.evaluation.interval import certified_radius, clopper_pearson_lower

from .schemas import Certificate, OfflineFigures, Report, Stability, StabilityReport, WorstVariant

Pixels = NDArray[np.uint8]
Probabilities = NDArray[np.float32]
Asker = Callable[[Iterator[Pixels]], Awaitable[Probabilities]]

NOISE_SIGMAS = (0.02, 0.05, 0.1, 0.2)
NOISE_DRAWS = 4
ROTATION_DEGREES = tuple(float(degrees) for degrees in range(-30, 31, 5) if degrees)
FACTORS = tuple(tenths / 10 for tenths in range(5, 16) if tenths != 10)
DEFAULT_NOISE_SIGMA = 0.25

EVERYDAY = "It says nothing about changes chosen by an attacker, nor about strengths that were not tried."
ROTATION_RULE = "Turned about the centre, bilinear; the corners that come in are filled with black."


@dataclass(frozen=True)
class Smoothing:
    """A certificate's draws to choose the class, fresh draws to certify it, and the chance of being wrong."""

    selection_draws: int
    draws: int
    alpha: float


async def robustness_report(image: Pixels, predicted: int, bundle: Bundle, ask: Asker, smoothing: Smoothing) -> Report:
    """Probe the answer to one image.

    Args:
        image: (H, W, C), the model's input.
        predicted: index of the class that the model gave.
        ask: runs the model on images that are made while it runs; answers (n, K) in their order.
    """
    generator = np.random.default_rng(secrets.randbits(128))  # a caller who knew the draws could aim between them
    return Report(
        stability=await _stability_report(image, predicted, bundle.classes, ask, generator),
        certificate=await _certify(image, predicted, bundle, ask, smoothing, generator),
        offline=_offline_figures(bundle),
    )


async def ask_in_chunks(
    images: Iterator[Pixels],
    submit: Callable[[Pixels], Awaitable[Probabilities]],
    make: Callable[[Callable[[], list[Pixels]]], Awaitable[list[Pixels]]],
    *,
    chunk: int,
    window: int,
) -> Probabilities:
    """Ask about images in chunks; only `window` chunks exist at a time.

    Args:
        submit: (n, H, W, C), n <= `chunk` -> (n, K).
        make: calls a function that takes a while, such as drawing noise, off the event loop.
    Returns:
        (number of images, K), in their order.
    """
    answers: list[Probabilities] = []
    running: deque[asyncio.Future[Probabilities]] = deque()
    try:
        while made := await make(lambda: list(islice(images, chunk))):
            running.append(asyncio.ensure_future(submit(np.stack(made))))
            if len(running) == window:
                answers.append(await running.popleft())
        while running:
            answers.append(await running.popleft())
    finally:
        for future in running:
            future.cancel()
    return np.concatenate(answers)


def add_noise(image: Pixels, noise_sigma: float, generator: np.random.Generator) -> Pixels:
    """Draw round(clip(image + noise)), each value with its own N(0, `noise_sigma`^2) in [0, 1] pixels."""
    noise = generator.standard_normal(image.shape, dtype=np.float32)
    noisy = image + np.float32(255 * noise_sigma) * noise
    pixels: Pixels = np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)
    return pixels


def rotate(image: Pixels, degrees: float) -> Pixels:
    """Turn counter-clockwise about the centre, bilinear, corners black."""
    return _to_pixels(_to_pillow(image).rotate(degrees, resample=Image.Resampling.BILINEAR), image)


def brighten(image: Pixels, factor: float) -> Pixels:
    """Multiply every value by `factor` and clip; 1 changes nothing."""
    return _to_pixels(ImageEnhance.Brightness(_to_pillow(image)).enhance(factor), image)


def stretch_contrast(image: Pixels, factor: float) -> Pixels:
    """Multiply every value's distance from the image's mean gray by `factor` and clip; 1 changes nothing."""
    return _to_pixels(ImageEnhance.Contrast(_to_pillow(image)).enhance(factor), image)


def to_gray(image: Pixels) -> Pixels:
    """Replace a colour image's three channels by its luma (ITU-R 601)."""
    return _to_pixels(_to_pillow(image).convert("L").convert("RGB"), image)


async def _stability_report(
    image: Pixels, predicted: int, classes: list[str], ask: Asker, generator: np.random.Generator
) -> StabilityReport:
    async def probe(variants: Iterator[Pixels], parameters: list[float], unit: str, meaning: str) -> Stability:
        probabilities = await ask(variants)
        return _stability(probabilities, predicted, classes, parameters, unit, f"{meaning} {EVERYDAY}")

    noise = [sigma for sigma in NOISE_SIGMAS for _ in range(NOISE_DRAWS)]
    return StabilityReport(
        noise=await probe(
            (add_noise(image, sigma, generator) for sigma in noise),
            noise,
            "std of the Gaussian noise, in [0, 1] pixels",
            f"Share of noisy copies, {NOISE_DRAWS} a strength, with the same answer.",
        ),
        rotation=await probe(
            (rotate(image, degrees) for degrees in ROTATION_DEGREES),
            list(ROTATION_DEGREES),
            "degrees, counter-clockwise",
            f"Share of turned copies with the same answer. {ROTATION_RULE}",
        ),
        brightness=await probe(
            (brighten(image, factor) for factor in FACTORS),
            list(FACTORS),
            "factor; 1 is the image as sent",
            "Share of brighter and darker copies with the same answer.",
        ),
        contrast=await probe(
            (stretch_contrast(image, factor) for factor in FACTORS),
            list(FACTORS),
            "factor; 1 is the image as sent",
            "Share of copies with more and less contrast with the same answer.",
        ),
        gray=await _gray(image, predicted, classes, ask),
    )


async def _gray(image: Pixels, predicted: int, classes: list[str], ask: Asker) -> Stability:
    if image.shape[2] == 1:
        reason = "the model takes gray images, so there is no colour to remove."
    elif np.array_equal(gray := to_gray(image), image):
        reason = "the image has no colour to remove."
    else:
        meaning = f"1 if the copy without colour gets the same answer, else 0. {EVERYDAY}"
        return _stability(await ask(iter([gray])), predicted, classes, None, None, meaning)
    return Stability(unit=None, tried=[], variants=0, same_answer=None, worst=None, meaning=f"Not applicable: {reason}")


def _stability(
    probabilities: Probabilities,
    predicted: int,
    classes: list[str],
    parameters: list[float] | None,
    unit: str | None,
    meaning: str,
) -> Stability:
    answers = probabilities.argmax(axis=1)
    worst = int(probabilities[:, predicted].argmin())
    return Stability(
        unit=unit,
        tried=sorted(set(parameters or [])),
        variants=len(answers),
        same_answer=float((answers == predicted).mean()),
        worst=WorstVariant(
            parameter=parameters[worst] if parameters else None,
            label=classes[answers[worst]],
            confidence=float(probabilities[worst, predicted]),
        ),
        meaning=meaning,
    )


async def _certify(
    image: Pixels,
    predicted: int,
    bundle: Bundle,
    ask: Asker,
    smoothing: Smoothing,
    generator: np.random.Generator,
) -> Certificate:
    """Certify the smoothed classifier's answer.

    The network sees round(clip(x + noise)), a fixed function of x + noise, so the certificate holds for the
    smoothed version of that function followed by the network.

    Source: Cohen, Rosenfeld, Kolter, "Certified Adversarial Robustness via Randomized Smoothing", ICML 2019,
        Algorithm CERTIFY: n0 is `selection_draws`, n is `draws`.
    """
    noise_sigma = bundle.noise_sigma or DEFAULT_NOISE_SIGMA

    async def count_answers(draws: int) -> NDArray[np.int64]:
        noisy = (add_noise(image, noise_sigma, generator) for _ in repeat(None, draws))
        return np.bincount((await ask(noisy)).argmax(axis=1), minlength=len(bundle.classes))

    chosen = int((await count_answers(smoothing.selection_draws)).argmax())
    agreeing = int((await count_answers(smoothing.draws))[chosen])
    radius = certified_radius(agreeing, smoothing.draws, noise_sigma=noise_sigma, alpha=smoothing.alpha)
    ceiling = certified_radius(smoothing.draws, smoothing.draws, noise_sigma=noise_sigma, alpha=smoothing.alpha)
    trained_with_noise = bundle.noise_sigma == noise_sigma
    return Certificate(
        radius=radius,
        abstained=radius is None,
        label=bundle.classes[chosen],
        index=chosen,
        agrees_with_prediction=chosen == predicted,
        noise_sigma=noise_sigma,
        trained_with_this_noise=trained_with_noise,
        selection_draws=smoothing.selection_draws,
        draws=smoothing.draws,
        agreeing_draws=agreeing,
        lower_bound=clopper_pearson_lower(agreeing, smoothing.draws, smoothing.alpha),
        confidence=1 - smoothing.alpha,
        largest_possible_radius=ceiling or 0.0,
        meaning=_certificate_meaning(
            radius,
            confidence=1 - smoothing.alpha,
            agrees=chosen == predicted,
            trained_with_noise=trained_with_noise,
        ),
    )


def _certificate_meaning(radius: float | None, *, confidence: float, agrees: bool, trained_with_noise: bool) -> str:
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
    if not agrees:
        sentences.append("Here the two differ: the smoothed classifier gives another label than the plain answer.")
    if not trained_with_noise:
        sentences.append("The model was not trained with this noise, so expect small radii and abstentions.")
    sentences.append("The input is the image after decoding and scaling, not the file as sent.")
    return " ".join(sentences)


def _offline_figures(bundle: Bundle) -> OfflineFigures:
    meaning = (
        "Shares of a test set, the same for every request: robust_accuracy is the worst case over the named "
        "attacks, image by image, so a stronger attack can only lower it. It is measured, not proved, and "
        "says nothing about this image."
    )
    if bundle.evaluation is None:
        meaning = "The model was exported without an evaluation, so its robustness under attack is not known."
    return OfflineFigures(evaluation=bundle.evaluation, meaning=meaning)


def _to_pillow(image: Pixels) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def _to_pixels(changed: Image.Image, image: Pixels) -> Pixels:
    return np.asarray(changed, dtype=np.uint8).reshape(image.shape)
