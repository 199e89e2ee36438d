"""Certified accuracy by randomized smoothing."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
            case.model, case.pixels, case.labels, Smoothing(case.noise_sigma),
            batch_size=case.batch_size, generator=case.generator(), on_done=done,
        )  # fmt: skip
    return Found(record, radius)


@dataclass(frozen=True)
class Smoothing:
    """How a model is smoothed, and how surely it is certified.

    Attributes:
        noise_sigma: std of the noise, in [0, 1] pixels, > 0.
        selection_draws, draws: n0 and n of the paper, >= 1.
        alpha: the chance, in (0, 1), that an image's certificate is wrong.
        radii: to certify at, in [0, 1] pixels, l2; by default 0, 1/4, 1/2, 1, 2 and 3 times `noise_sigma` as far as
            `draws` reach.
    Raises:
        ValueError: `noise_sigma` <= 0, or fewer than one draw.
    """

    noise_sigma: float
    selection_draws: int = 100
    draws: int = 1000
    alpha: float = 0.001
    radii: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.noise_sigma <= 0 or self.selection_draws < 1 or self.draws < 1:
            got = f"{self.noise_sigma}, {self.selection_draws}, {self.draws}"
            raise ValueError(f"need noise_sigma > 0 and draws >= 1; got {got}")

    def radius(self, agreeing: int) -> float | None:
        """Return the certified radius where so many of `draws` agree, None where nothing is certified."""
        if 2 * agreeing <= self.draws:
            return None  # no bound from below exceeds a half; summing so long a tail would take a while
        return certified_radius(agreeing, self.draws, noise_sigma=self.noise_sigma, alpha=self.alpha)

    def asked_radii(self) -> list[float]:
        """Return the radii to certify at."""
        reach = self.radius(self.draws) or 0.0
        own = [share * self.noise_sigma for share in RADII if share * self.noise_sigma <= reach]
        return own if self.radii is None else list(self.radii)


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
    `selection_draws` noisy copies; fresh `draws` bound from below how often the model gives it.

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
        The record, and each image's certified radius, (N,) float64: nan where the smoothed classifier abstains or
        is wrong. A point counts the images that are right and certified to at least its radius.
        `smoothed_accuracy` counts the right classes before anything is certified.
    Raises:
        HardenerError: there are no images.
    Source: Cohen, Rosenfeld, Kolter, "Certified Adversarial Robustness via Randomized Smoothing", ICML 2019,
        section 3.2.2, the pseudocode CERTIFY.
    """
    radius_of = functools.cache(smoothing.radius)
    radii, rights, abstained = [], 0, 0
    with measuring(model) as device:
        for clean, truth in batches(images, labels, batch_size, device):
            chosen, agreeing = _chosen(model, clean, smoothing, batch_size, generator)
            right = chosen.eq(truth).tolist()
            found = [radius_of(count) for count in agreeing.tolist()]
            radii += [r if r is not None and is_right else math.nan for r, is_right in zip(found, right, strict=True)]
            rights, abstained = rights + sum(right), abstained + found.count(None)
            if on_done is not None:
                on_done(len(clean))
    radius = torch.tensor(radii, dtype=torch.float64)
    return _record(smoothing, radius, rights, abstained), radius


def _record(smoothing: Smoothing, radius: Tensor, rights: int, abstained: int) -> Certification:
    return Certification(
        samples=len(radius),
        noise_sigma=smoothing.noise_sigma,
        selection_draws=smoothing.selection_draws,
        draws=smoothing.draws,
        confidence=1 - smoothing.alpha,
        abstained=abstained,
        smoothed_accuracy=rights / len(radius),
        points=[curve_point(asked, int((radius >= asked).sum()), len(radius)) for asked in smoothing.asked_radii()],
    )


def _chosen(
    model: nn.Module, clean: Tensor, smoothing: Smoothing, batch_size: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Return the smoothed classifier's answers, (N,), and how many of fresh draws agree with each, (N,)."""
    sigma = smoothing.noise_sigma
    chosen = _votes(model, clean, smoothing.selection_draws, sigma, batch_size, generator).argmax(dim=1)
    votes = _votes(model, clean, smoothing.draws, sigma, batch_size, generator)
    return chosen, votes.gather(1, chosen.unsqueeze(1)).squeeze(1)


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
