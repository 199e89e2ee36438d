"""Whether a model that says 80 % is right in 80 of 100 cases."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hardener.config.evaluation_record import Calibration, CalibrationBin
from hardener.measures._common import batches
from hardener.measures.run import Case, Found
from hardener.runtime.model_state import measuring


def measure(case: Case) -> Found:
    """Measure the calibration of all clean answers; nothing is found of a model that gives none."""
    found = measure_calibration(case.model, case.pixels, case.labels, batch_size=case.batch_size)
    return Found(found if found.samples else None)


@torch.no_grad()
def measure_calibration(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
    on_done: Callable[[int], None] | None = None,
    bins: int = 15,
) -> Calibration:
    """Compare the confidences of the clean images' answers with how often they are right.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K); put into eval mode meanwhile.
        images: (N, C, H, W), float in [0, 1] or uint8.
        labels: (N,) int64.
        batch_size: images at once.
        generator: not used; nothing is random.
        on_done: called with a number of images as they are dealt with; N in all.
        bins: of equal width, over confidences in (0, 1].
    Returns:
        Over the images with an answer: NaN has no confidence. `samples` is their number.
    Raises:
        HardenerError: there are no images.
    """
    confidences, right = [], []
    with measuring(model) as device:
        for clean, truth in batches(images, labels, batch_size, device):
            confidence, answer = model(clean).double().softmax(dim=1).max(dim=1)
            confidences.append(confidence.cpu())
            right.append(answer.eq(truth).cpu())
            if on_done is not None:
                on_done(len(clean))
    told = torch.cat(confidences)
    answered = ~told.isnan()
    return calibration(told[answered], torch.cat(right)[answered], bins=bins)


def calibration(confidences: Tensor, right: Tensor, *, bins: int = 15) -> Calibration:
    """Return the expected calibration error, and the bins that a reliability diagram shows.

    Args:
        confidences: (N,) in (0, 1]: the probability that the model gives its answer. Of none the error is 0.
        right: (N,) bool.
        bins: of equal width, >= 1.
    Returns:
        `bins` leaves out the empty ones: they have neither an accuracy nor a confidence.
    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 2: bin m is
        ((m-1)/M, m/M], and ECE = sum over m of |B_m|/n * |acc(B_m) - conf(B_m)|.
    """
    confidences = confidences.double()
    edges = torch.arange(bins + 1, dtype=torch.float64) / bins
    places = torch.bucketize(confidences, edges).clamp(1, bins) - 1
    found = []
    for place in places.unique().tolist():
        own = places == place
        found.append(
            CalibrationBin(
                low=float(edges[place]),
                high=float(edges[place + 1]),
                count=int(own.sum()),
                confidence=float(confidences[own].mean()),
                accuracy=float(right[own].double().mean()),
            )
        )
    error = sum(one.count * abs(one.accuracy - one.confidence) for one in found) / max(len(confidences), 1)
    return Calibration(samples=len(confidences), expected_error=error, bins=found)
