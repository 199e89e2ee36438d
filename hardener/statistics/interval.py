"""Exact confidence limits for a share, in plain Python: the serving image has no scipy and certifies with them."""

from __future__ import annotations

import functools
import math


def _log_upper_tail(successes: int, n: int, p: float) -> float:
    """log P(X >= successes) for X ~ Binomial(n, p), 0 < p < 1, successes >= 1."""
    log_p, log_q = math.log(p), math.log1p(-p)
    base = math.lgamma(n + 1)
    logs = [
        base - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * log_p + (n - k) * log_q
        for k in range(successes, n + 1)
    ]
    top = max(logs)
    return top + math.log(math.fsum(math.exp(value - top) for value in logs))


def clopper_pearson_lower(successes: int, n: int, alpha: float) -> float:
    """Return the largest p that `successes` of `n` rule out from below at level `alpha`.

    Args:
        successes: in [0, n].
        n: draws, >= 1.
        alpha: the chance, in (0, 1), that the true share lies below what is returned.
    Returns:
        A one-sided lower confidence limit in [0, 1).
    Raises:
        ValueError: an argument lies outside its range.
    Source: Clopper and Pearson, "The use of confidence or fiducial limits", Biometrika 26 (1934).
    """
    if not 0 <= successes <= n or n < 1 or not 0 < alpha < 1:
        raise ValueError(f"need 0 <= successes <= n, n >= 1, 0 < alpha < 1; got {successes}, {n}, {alpha}")
    if successes == 0:
        return 0.0
    target = math.log(alpha)
    low, high = 0.0, successes / n
    if successes == n:
        return float(alpha ** (1 / n))
    for _ in range(60):
        middle = (low + high) / 2
        if middle > 0 and _log_upper_tail(successes, n, middle) > target:
            high = middle
        else:
            low = middle
    return low


@functools.lru_cache(maxsize=4096)  # a verdict, a record and a report ask for the same ones
def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval for a share, `confidence` in (0, 1)."""
    alpha = (1 - confidence) / 2
    return (
        clopper_pearson_lower(successes, n, alpha),
        1.0 - clopper_pearson_lower(n - successes, n, alpha),
    )
