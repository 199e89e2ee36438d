from __future__ import annotations

import pytest
from scipy.stats import binom, binomtest

from hardener.statistics.interval import clopper_pearson, clopper_pearson_lower


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (999, 1000), (123, 1000), (9999, 10_000)]
)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_it_is_scipys_exact_interval(successes: int, n: int, confidence: float) -> None:
    expected = binomtest(successes, n).proportion_ci(confidence, "exact")
    assert clopper_pearson(successes, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """The exact interval of every outcome of Binomial(30, p), weighed by its chance, covers p with at least 95 %."""
    n = 30
    for p in (0.05, 0.3, 0.5, 0.77):
        covered = sum(
            binom.pmf(k, n, p) for k in range(n + 1) if clopper_pearson(k, n)[0] <= p <= clopper_pearson(k, n)[1]
        )
        assert covered >= 0.95


@pytest.mark.parametrize(
    ("successes", "n", "alpha"), [(-1, 5, 0.1), (6, 5, 0.1), (0, 0, 0.1), (1, 5, 0.0), (1, 5, 1.0)]
)
def test_arguments_out_of_range_are_errors(successes: int, n: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="need 0 <= successes <= n"):
        clopper_pearson_lower(successes, n, alpha)
