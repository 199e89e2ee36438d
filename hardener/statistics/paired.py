"""Two results on the same images: how far they are apart, and whether chance could do that. Plain Python and numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from hardener.errors import HardenerError


class Difference(BaseModel):
    """A second accuracy minus a first one, on the same images.

    `interval` is the 95 % interval of `newcombe_paired`, `p_value` that of `mcnemar_exact`; `both`, `only_first`,
    `only_second` and `neither` count the images that were right in these.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    difference: float
    interval: tuple[float, float]
    p_value: float
    both: int
    only_first: int
    only_second: int
    neither: int


@dataclass(frozen=True)
class Outcomes:
    """What an evaluation found for each image, in the order of their paths: right when clean, right under attack."""

    paths: tuple[str, ...]
    clean: NDArray[np.bool_]
    robust: NDArray[np.bool_]


def read_outcomes(path: Path) -> Outcomes:
    """Read the results of each image that an evaluation wrote.

    Raises:
        HardenerError: no such file, or one that holds something else.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as rows:
            paths, clean, robust = rows["path"], rows["clean"], rows["robust"]
            if any(column.ndim != 1 for column in (paths, clean, robust)) or paths.dtype.kind != "U":
                raise ValueError("a column is no list")
            clean, robust = (_truths(column) for column in (clean, robust))
    except FileNotFoundError:
        raise HardenerError(f"{path} is gone: it held the results of each image.") from None
    except Exception as error:  # zipfile, zlib and numpy raise nearly anything on a damaged file
        raise HardenerError(f"{path} does not hold the results of each image: {error}.") from None
    if not len(paths) == len(clean) == len(robust):
        raise HardenerError(f"{path} does not hold the results of each image: its columns differ in length.")
    order = np.argsort(paths, kind="stable")
    return Outcomes(tuple(paths[order].tolist()), clean[order], robust[order])


def _truths(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a column of yes and no, which some versions wrote as 0 and 1."""
    if column.dtype.kind not in "biu" or not np.isin(column, (0, 1)).all():
        raise ValueError("a column holds more than yes and no")
    return column.astype(bool)


def paired_difference(first: Outcomes, second: Outcomes, which: Literal["clean", "robust"]) -> Difference:
    """Compare two results image by image.

    Raises:
        HardenerError: they are not of the same images.
    """
    if first.paths != second.paths:
        odd = sorted(set(first.paths) ^ set(second.paths))[:3]
        raise HardenerError(f"the results are not of the same images: only one of them has {', '.join(odd)}.")
    one, other = (first.clean, second.clean) if which == "clean" else (first.robust, second.robust)
    both, neither = int((one & other).sum()), int((~one & ~other).sum())
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    return Difference(
        difference=(only_second - only_first) / len(one),
        interval=newcombe_paired(both, only_second, only_first, neither),
        p_value=mcnemar_exact(only_first, only_second),
        both=both,
        only_first=only_first,
        only_second=only_second,
        neither=neither,
    )


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Return the chance of discordant counts at least as uneven as these if both were equally often right.

    Args:
        only_first, only_second: >= 0, images that just one of the two gets right.
    Returns:
        The two-sided p value in (0, 1]; 1 where there is no discordant image.
    Source: McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
        Psychometrika 12 (1947); exact: under the hypothesis the smaller count is Binomial(both counts, 1/2).
    """
    total = only_first + only_second
    term = tail = 1
    for k in range(min(only_first, only_second)):
        term = term * (total - k) // (k + 1)
        tail += term
    halves: float = 2 * tail / 2**total
    return min(1.0, halves)


def newcombe_paired(
    both: int, only_first: int, only_second: int, neither: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return an interval for the first share minus the second, measured on the same images.

    Wilson's interval of each share, put together with the correlation of the two.

    Args:
        both, only_first, only_second, neither: counts of images, >= 0, at least one in all.
        confidence: in (0, 1).
    Returns:
        Lower and upper end, in [-1, 1].
    Source: Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired
        data", Statistics in Medicine 17 (1998), method 10.
    """
    n = both + only_first + only_second + neither
    first, second = both + only_first, both + only_second
    low1, high1 = wilson(first, n, confidence)
    low2, high2 = wilson(second, n, confidence)
    below1, above1, below2, above2 = first / n - low1, high1 - first / n, second / n - low2, high2 - second / n
    margins = first * (n - first) * second * (n - second)
    product = both * neither - only_first * only_second
    phi = 0.0
    if margins:
        phi = (max(product - n / 2, 0.0) if product > 0 else product) / math.sqrt(margins)
    middle = (only_first - only_second) / n
    down = math.sqrt(max(below1**2 - 2 * phi * below1 * above2 + above2**2, 0.0))
    up = math.sqrt(max(above1**2 - 2 * phi * above1 * below2 + below2**2, 0.0))
    return middle - down, middle + up


def mean_differences(pairs: Sequence[tuple[Outcomes, Outcomes]], which: Literal["clean", "robust"]) -> NDArray[Any]:
    """Return for each image the mean over pairs of second minus first, in [-1, 1].

    Args:
        pairs: one or more, all of the same images.
    Raises:
        HardenerError: they are not of the same images.
    """
    paths = pairs[0][0].paths
    for outcomes in (outcomes for pair in pairs for outcomes in pair):
        if outcomes.paths != paths:
            odd = sorted(set(outcomes.paths) ^ set(paths))[:3]
            raise HardenerError(f"the results are not of the same images: only one of them has {', '.join(odd)}.")
    columns = [(one.clean, other.clean) if which == "clean" else (one.robust, other.robust) for one, other in pairs]
    mean: NDArray[Any] = np.mean([other.astype(float) - one.astype(float) for one, other in columns], axis=0)
    return mean


def adjusted_interval(differences: NDArray[Any], confidence: float = 0.95) -> tuple[float, float]:
    """Return an interval for the mean of a law on [-1, 1] by differences drawn from it, one an image.

    Wald's interval after half an image more with the difference 1, half a one with -1 and a whole one with 0, so that
    it has a width where no image differs.

    Args:
        differences: (N,), N >= 1, in [-1, 1].
        confidence: in (0, 1).
    Returns:
        Lower and upper end, in [-1, 1].
    Source: Agresti and Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in
        Medicine 24 (2005): half an image in each of the four cells (Wald+2).
    Note: there each image differs by -1, 0 or 1; here it may by anything between, as a mean of several pairs does.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    n = len(differences) + 2
    middle = float(differences.sum()) / n
    spread = (float((differences**2).sum()) + 1) / n - middle**2
    half = z * math.sqrt(spread / n)
    return max(middle - half, -1.0), min(middle + half, 1.0)


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a share.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = successes / n, z**2 / n
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    return middle - half, middle + half


def hoeffding_interval(mean: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return an interval for the mean of a law on [0, 1] of which `n` independent draws have the mean `mean`.

    Holds whatever the law, so also where each image's own value is a share; wider than an interval for yes or no.

    Args:
        mean: in [0, 1]. n: >= 1. confidence: in (0, 1).
    Source: Hoeffding, "Probability inequalities for sums of bounded random variables", JASA 58 (1963), Theorem 1,
        equation (2.1), on each side, solved for the mean.
    """
    reach = math.log(2 / (1 - confidence)) / n

    def bound(outside: float) -> float:
        inside = mean
        for _ in range(60):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if _divergence(mean, middle) > reach else (middle, outside)
        return outside

    return bound(0.0), bound(1.0)


def _divergence(p: float, q: float) -> float:
    """Kullback-Leibler, of Bernoulli laws."""
    if (q <= 0 < p) or (q >= 1 > p):
        return math.inf
    one = p * math.log(p / q) if p > 0 else 0.0
    return one + ((1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0)
