from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.measures.calibration import calibration, measure_calibration


def test_the_error_by_hand() -> None:
    """Bins of a fifth: (0.6, 0.8] holds 0.7 and 0.8, half right; (0.8, 1] holds 0.9 and 1, both right.

    ECE = 2/4 |0.5 - 0.75| + 2/4 |1 - 0.95| = 0.15.
    """
    found = calibration(
        torch.tensor([0.7, 0.9, 0.8, 1.0], dtype=torch.float64), torch.tensor([True, True, False, True]), bins=5
    )
    assert found.expected_error == pytest.approx(0.15)
    assert [(round(one.low, 9), round(one.high, 9), one.count) for one in found.bins] == [(0.6, 0.8, 2), (0.8, 1.0, 2)]
    assert [one.confidence for one in found.bins] == pytest.approx([0.75, 0.95])
    assert [one.accuracy for one in found.bins] == [0.5, 1.0]


def test_one_bin_gives_the_gap_between_confidence_and_accuracy() -> None:
    confidences = torch.rand(50, generator=torch.Generator().manual_seed(0)).double()
    right = torch.arange(50) % 3 == 0
    found = calibration(confidences, right, bins=1)
    assert found.expected_error == pytest.approx(abs(float(right.double().mean()) - float(confidences.mean())))


def test_more_bins_never_lower_the_error() -> None:
    """By the triangle inequality: 15 divides 30."""
    generator = torch.Generator().manual_seed(1)
    confidences = torch.rand(400, generator=generator).double()
    right = torch.rand(400, generator=generator) < 0.5
    errors = [calibration(confidences, right, bins=bins).expected_error for bins in (1, 15, 30)]
    assert errors == sorted(errors)


class Prepared(nn.Module):
    """Answers with the logits of two classes that make the first pixel the confidence in class 1."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, 2)."""
        share = images[:, 0, 0, 0].double()
        return torch.stack([(1 - share).log(), share.log()], dim=1)


def test_a_model_that_says_80_percent_and_is_right_in_80_of_100_has_no_error() -> None:
    images = torch.full((100, 1, 2, 2), 0.8)
    labels = (torch.arange(100) < 80).long()
    done: list[int] = []
    found = measure_calibration(Prepared(), images, labels, batch_size=30, on_done=done.append)
    assert found.expected_error == pytest.approx(0, abs=1e-7)
    assert found.samples == sum(done) == 100
    all_right = measure_calibration(Prepared(), images, torch.ones(100, dtype=torch.int64))
    assert all_right.expected_error == pytest.approx(0.2, abs=1e-7)


def test_no_images_are_an_error() -> None:
    with pytest.raises(HardenerError, match="there are no images"):
        measure_calibration(Prepared(), torch.rand(0, 1, 2, 2), torch.zeros(0, dtype=torch.int64))
