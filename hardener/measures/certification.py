"""Certified accuracy by randomized smoothing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hardener.config.evaluation_record import Certification
from hardener.measures._common import batches, curve_point
from hardener.measures.run import Case, Found
from hardener.runtime.model_state import measuring
from hardener.statistics.interval import certified_radius

RADII = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0)
"""In units of the noise's std; those beyond what the number of draws can certify are left out."""


def measure(case: Case) -> Found:
    """Certify the images, smoothed with the noise of training; the values are certified radii."""
    with case.reporter.track("certifying", len(case.pixels), "images") as done:
        record, radius = measure_certification(
            case.model, case.pixels, case.labels, noise_sigma=case.noise_sigma,
            batch_size=case.batch_size, generator=case.generator(), on_done=done,
        )  # fmt: skip
    return Found(record, radius)


@torch.no_grad()
def measure_certification(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    noise_sigma: float,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
    on_done: Callable[[int], None] | None = None,
    selection_draws: int = 100,
    draws: int = 1000,
    alpha: float = 0.001,
    radii: Sequence[float] | None = None,
) -> tuple[Certification, Tensor]:
    """Certify the smoothed classifier: the class that the model gives most often under Gaussian noise.

    What is certified is that classifier and not the plain one. Its answer to an image is chosen from
    `selection_draws` noisy copies; fresh `draws` bound from below how often the model gives it.

    Args:
        model: (N, C, H, W) -> logits (N, K); put into eval mode meanwhile. It is asked about noisy images as they
            are, not clipped to [0, 1]: the theorem holds for any function of image + noise, and clipping is part of
            the function where a model does it.
        images: (N, C, H, W), float in [0, 1] or uint8.
        labels: (N,) int64.
        noise_sigma: std of the noise, in [0, 1] pixels, > 0.
        batch_size: noisy copies at once.
        generator: of the noise, on the model's device.
        on_done: called with a number of images as they are dealt with; N in all.
        selection_draws, draws: n0 and n of the paper.
        alpha: the chance, in (0, 1), that an image's certificate is wrong.
        radii: in [0, 1] pixels, l2; by default 0, 1/4, 1/2, 1, 2 and 3 times `noise_sigma` as far as `draws` reach.
    Returns:
        The record, and each image's certified radius, (N,) float64: nan where the smoothed classifier abstains or
        is wrong. A point counts the images that are right and certified to at least its radius.
        `smoothed_accuracy` counts the right classes before anything is certified.
    Raises:
        HardenerError: there are no images.
        ValueError: `noise_sigma` <= 0, or fewer than one draw.
    Source: Cohen, Rosenfeld, Kolter, "Certified Adversarial Robustness via Randomized Smoothing", ICML 2019,
        section 3.2.2, the pseudocode CERTIFY.
    """
    if noise_sigma <= 0 or selection_draws < 1 or draws < 1:
        raise ValueError(f"need noise_sigma > 0 and draws >= 1; got {noise_sigma}, {selection_draws}, {draws}")

    @functools.cache
    def radius_of(agreeing: int) -> float | None:
        if 2 * agreeing <= draws:
            return None  # no bound from below exceeds a half; summing so long a tail would take a while
        return certified_radius(agreeing, draws, noise_sigma=noise_sigma, alpha=alpha)

    radius = torch.full((len(images),), torch.nan, dtype=torch.float64)
    smoothed_right = abstained = place = 0
    with measuring(model) as device:
        for clean, truth in batches(images, labels, batch_size, device):
            chosen = _votes(model, clean, selection_draws, noise_sigma, batch_size, generator).argmax(dim=1)
            votes = _votes(model, clean, draws, noise_sigma, batch_size, generator)
            agreeing = votes.gather(1, chosen.unsqueeze(1)).squeeze(1).tolist()
            right = chosen.eq(truth).tolist()
            for certified, is_right in zip(map(radius_of, agreeing), right, strict=True):
                abstained += certified is None
                smoothed_right += is_right
                if certified is not None and is_right:
                    radius[place] = certified
                place += 1
            if on_done is not None:
                on_done(len(clean))
    if radii is None:
        reach = radius_of(draws) or 0.0
        radii = [share * noise_sigma for share in RADII if share * noise_sigma <= reach]
    record = Certification(
        samples=len(images),
        noise_sigma=noise_sigma,
        selection_draws=selection_draws,
        draws=draws,
        confidence=1 - alpha,
        abstained=abstained,
        smoothed_accuracy=smoothed_right / len(images),
        points=[curve_point(asked, int((radius >= asked).sum()), len(images)) for asked in radii],
    )
    return record, radius


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
        answers = logits.argmax(dim=1).view(copies, len(clean)).T
        counts.scatter_add_(1, answers, torch.ones_like(answers))
    assert counts is not None, "there is at least one draw"
    return counts
