from __future__ import annotations

import pytest

from hardener.training.learning_rate import learning_rate


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
