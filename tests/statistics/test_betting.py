from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from hardener.statistics.betting import DOUBT, Contest, log_wealth_above, log_wealth_below, lower_bound

LOOKS = [8, 16, 32, 64, 128, 256, 512, 1024]


def border(
    shares: list[float], true: float, alpha: float, *, decisions: int = 10_000, last: int | None = None
) -> Contest:
    """Decide so many times, each on draws of its own that succeed with the true chance."""
    rng, contest = np.random.default_rng(0), Contest(shares, decisions, alpha, last)
    successes, made = np.zeros(decisions, np.int64), 0
    for looked in LOOKS:
        successes += rng.binomial(looked - made, true, decisions)
        made = looked
        contest.take(np.arange(decisions), successes, made)
    return contest


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
@pytest.mark.parametrize("share", [0.5, 0.69, 0.977])
def test_of_ten_thousand_decisions_at_the_border_no_more_are_wrong_than_the_confidence_allows(
    share: float, alpha: float
) -> None:
    """The share is neither exceeded nor missed: both answers are wrong, each with the chance alpha at most."""
    contest = border([share], share, alpha)
    most = binom.ppf(1 - 1e-6, 10_000, alpha)
    assert (contest.certified == 1).sum() <= most
    assert (~contest.open & (contest.certified == 0)).sum() <= most


@pytest.mark.parametrize("share", [0.5, 0.69, 0.977])
def test_what_is_given_up_makes_no_more_decisions_at_the_border_wrong(share: float) -> None:
    contest = border([share], share, 0.05, last=LOOKS[-1])
    assert (contest.certified == 1).sum() <= binom.ppf(1 - 1e-6, 10_000, 0.05)
    assert contest.given_up.mean() > 0.2, "at the border itself there is little hope"
    assert not (contest.given_up & (contest.open | (contest.certified == 1))).any()


@pytest.mark.parametrize("share", [0.5, 0.69, 0.977])
def test_what_the_draws_allowed_would_just_certify_is_given_up_no_more_often_than_the_doubt(share: float) -> None:
    enough = np.arange(LOOKS[-1] + 1)
    enough = enough[log_wealth_above(enough, LOOKS[-1], share) >= math.log(1000)]
    contest = border([share], float(enough[0]) / LOOKS[-1], 0.001, last=LOOKS[-1])
    assert contest.given_up.sum() <= binom.ppf(1 - 1e-6, 10_000, DOUBT)
    assert (contest.certified == 1).mean() > 0.4, "half of them, where the draws may not end before"


def test_a_share_that_no_draws_could_certify_is_given_up_at_the_first_failure() -> None:
    contest = Contest([0.997], 2, 0.001, last=20)
    contest.take(np.arange(2), np.array([8, 7]), 8)
    assert contest.open.tolist() == [True, False]
    assert contest.given_up.tolist() == [False, True]


def test_with_several_shares_the_first_that_does_not_hold_decides_how_often_any_is_wrong() -> None:
    contest = border([0.5, 0.6, 0.7, 0.8], 0.6, 0.05)
    assert (contest.certified >= 1).mean() > 0.99, "that one holds by far"
    assert (contest.certified >= 2).sum() <= binom.ppf(1 - 1e-6, 10_000, 0.05)


def test_the_expected_wealth_after_n_draws_is_exactly_one_at_the_border_and_less_below_it() -> None:
    for n, share in ((1, 0.3), (7, 0.6), (40, 0.977)):
        k = np.arange(n + 1)
        for true, expected in ((share, 1.0), (0.9 * share, None)):
            mean = float((binom.pmf(k, n, true) * np.exp(log_wealth_above(k, n, share))).sum())
            assert mean == pytest.approx(1.0) if expected else mean < 1
        below = float((binom.pmf(k, n, share) * np.exp(log_wealth_below(k, n, share))).sum())
        assert below == pytest.approx(1.0)


def test_draws_that_all_agree_win_what_the_boldest_gambler_wins() -> None:
    assert float(log_wealth_above(1000, 1000, 0.5)) == pytest.approx(1000 * math.log(2) - math.log(10), abs=1e-6)
    assert float(log_wealth_above(0, 0, 0.5)) == pytest.approx(0)
    assert float(log_wealth_below(0, 1000, 0.5)) == pytest.approx(1000 * math.log(2) - math.log(10), abs=1e-6)


def test_a_contest_ends_at_the_first_share_that_is_refused() -> None:
    contest = Contest([0.5, 0.9, 0.997], 3, 0.001)
    contest.take(np.arange(3), np.array([1000, 700, 100]), 1000)
    assert contest.certified.tolist() == [2, 1, 0]
    assert contest.open.tolist() == [True, False, False], "1,000 of 1,000 do not show a share above 0.997 so surely"


@pytest.mark.parametrize("true", [0.6, 0.9, 0.977])
def test_the_lower_bound_lies_above_the_true_share_no_more_often_than_it_says_however_the_draws_end(
    true: float,
) -> None:
    """Each run ends at the look that suits it best: where its bound is highest."""
    rng, decisions, alpha = np.random.default_rng(0), 10_000, 0.05
    successes, made, wrong = np.zeros(decisions, np.int64), 0, np.zeros(decisions, bool)
    for looked in LOOKS:
        successes += rng.binomial(looked - made, true, decisions)
        made = looked
        bounds = np.array([lower_bound(k, made, alpha) for k in range(made + 1)])
        wrong |= bounds[successes] > true
    assert 0 < wrong.sum() <= binom.ppf(1 - 1e-6, decisions, alpha)


def test_the_lower_bound_is_where_the_wealth_is_just_enough() -> None:
    for successes, n in ((8, 8), (90, 100), (400, 401), (3, 10)):
        bound = lower_bound(successes, n, 0.001)
        assert log_wealth_above(successes, n, bound) >= math.log(1000) or bound == 0
        assert log_wealth_above(successes, n, bound + 1e-9) < math.log(1000)
        assert bound < successes / n
    assert lower_bound(0, 0, 0.001) == lower_bound(0, 50, 0.001) == 0
    boldest, fixed = (0.001 / 10) ** (1 / 401), 0.001 ** (1 / 401)
    assert boldest < lower_bound(401, 401, 0.001) < fixed, "no less than one gambler wins, nor more than for a fixed n"
