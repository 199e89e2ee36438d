from __future__ import annotations

import pytest
import torch

from hardener.training.augment import augment
from hardener.training.learning_rate import learning_rate


def test_shift_moves_whole_images_by_at_most_its_reach() -> None:
    torch.manual_seed(0)
    images = torch.zeros(200, 2, 8, 10)
    images[:, :, 4, 5] = 1.0
    moved = augment(images, shift=0.25, flip=False)
    assert (moved.sum((2, 3)) == 1).all()
    spots = moved[:, 0].flatten(1).argmax(1)
    rows, columns = spots // 10 - 4, spots % 10 - 5
    assert set(rows.tolist()) == {-2, -1, 0, 1, 2}
    assert set(columns.tolist()) == {-2, -1, 0, 1, 2}
    assert torch.equal(moved[:, 0], moved[:, 1])


def test_flip_mirrors_about_half_of_the_images_and_only_those() -> None:
    torch.manual_seed(0)
    images = torch.rand(400, 1, 2, 3)
    found = augment(images, shift=0.0, flip=True)
    mirrored = (found == images.flip(3)).flatten(1).all(1)
    kept = (found == images).flatten(1).all(1)
    assert (mirrored | kept).all()
    assert 150 < int(mirrored.sum()) < 250


def test_switched_off_it_returns_the_very_same_images() -> None:
    images = torch.rand(3, 1, 4, 4)
    assert augment(images, shift=0.0, flip=False) is images


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_the_rate_rises_to_its_peak_and_never_again(schedule: str) -> None:
    rates = [
        learning_rate(i / 1000, peak=0.4, schedule=schedule, milestones=(0.5, 0.8), warmup=0.1) for i in range(1000)
    ]
    assert max(rates) == pytest.approx(0.4)
    assert rates[:100] == sorted(rates[:100])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert min(rates) > 0


def test_known_points_of_the_schedules() -> None:
    settings = {"peak": 1.0, "milestones": (0.5, 0.8)}
    assert learning_rate(0.5, schedule="cosine", warmup=0.0, **settings) == pytest.approx(0.5)  # type: ignore[arg-type]
    for share, expected in ((0.49, 1.0), (0.5, 0.1), (0.8, 0.01)):
        assert learning_rate(share, schedule="step", warmup=0.0, **settings) == pytest.approx(expected)  # type: ignore[arg-type]
    assert learning_rate(0.05, schedule="constant", warmup=0.1, **settings) == pytest.approx(0.5)  # type: ignore[arg-type]
