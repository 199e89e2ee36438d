from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, multinomial

from hardener.errors import HardenerError
from hardener.statistics.interval import clopper_pearson
from hardener.statistics.paired import (
    Outcomes,
    adjusted_interval,
    hoeffding_interval,
    mcnemar_exact,
    mean_differences,
    newcombe_paired,
    paired_difference,
    read_outcomes,
    wilson,
)


@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 0), (3, 3), (2, 9), (10, 1), (40, 41), (0, 30), (700, 300)])
def test_mcnemar_is_the_binomial_test_of_the_discordant_images(one: int, other: int) -> None:
    expected = binomtest(min(one, other), one + other, 0.5).pvalue
    assert mcnemar_exact(one, other) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_by_hand() -> None:
    assert mcnemar_exact(0, 0) == 1
    assert mcnemar_exact(1, 4) == 2 * (1 + 5) / 32
    assert mcnemar_exact(0, 6) == 2 / 64
    assert mcnemar_exact(0, 5000) == 0, "smaller than a float can say, and no error"


@pytest.mark.parametrize(
    ("counts", "published"),
    [
        ((14, 5, 0, 22), (0.011, 0.226)),  # Altman et al., "Statistics with Confidence", 2000, table 6.2
        ((59, 6, 16, 80), (-0.1186, -0.0046)),  # Fagerland et al., "Statistical Analysis of Contingency Tables", 8
        ((1, 1, 7, 12), (-0.507, -0.026)),  # Fagerland et al., Statistics in Medicine 33 (2014)
    ],
)
def test_newcombes_interval_is_the_published_one(
    counts: tuple[int, int, int, int], published: tuple[float, float]
) -> None:
    digits = 4 if published[0] == -0.1186 else 3
    assert tuple(round(end, digits) for end in newcombe_paired(*counts)) == published


@pytest.mark.parametrize("cells", [(0.5, 0.2, 0.1, 0.2), (0.1, 0.4, 0.1, 0.4), (0.7, 0.15, 0.05, 0.1)])
def test_newcombes_interval_covers_the_truth_about_as_often_as_it_says(cells: tuple[float, ...]) -> None:
    """Every outcome of 24 images, weighed by its chance; it is approximate, so a little under 95 % is allowed."""
    n, truth, covered = 24, cells[1] - cells[2], 0.0
    for a, b, c in itertools.product(range(n + 1), repeat=3):
        d = n - a - b - c
        if d >= 0:
            low, high = newcombe_paired(a, b, c, d)
            if low <= truth <= high:
                covered += math.exp(multinomial.logpmf((a, b, c, d), n, cells))
    assert 0.93 <= covered <= 0.99


def test_newcombes_interval_obeys_its_laws() -> None:
    low, high = newcombe_paired(30, 10, 4, 6)
    assert newcombe_paired(30, 4, 10, 6) == pytest.approx((-high, -low)), "swapping the two turns the sign"
    assert low < 6 / 50 < high
    wide = newcombe_paired(30, 10, 4, 6, confidence=0.99)
    assert wide[0] < low < high < wide[1]
    for edge in ((50, 0, 0, 0), (0, 0, 0, 50), (0, 50, 0, 0), (25, 0, 0, 25)):
        ends = newcombe_paired(*edge)
        assert -1 <= ends[0] < ends[1] <= 1, "no width of zero where all agree"


def test_wilsons_interval_is_scipys() -> None:
    for k, n in ((0, 5), (3, 17), (17, 17), (400, 1000)):
        expected = binomtest(k, n).proportion_ci(0.95, "wilson")
        assert wilson(k, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_hoeffdings_interval_solves_its_equation_and_holds_the_exact_one() -> None:
    for k, n in ((0, 10), (5, 10), (10, 10), (300, 1000), (99, 100)):
        low, high = hoeffding_interval(k / n, n)
        exact = clopper_pearson(k, n)
        assert low <= exact[0] + 1e-12
        assert exact[1] <= high + 1e-12
        assert 0 <= low < high <= 1
    low, _ = hoeffding_interval(1.0, 50)
    assert low == pytest.approx(0.025 ** (1 / 50)), "all right: the divergence is -log(low)"
    assert hoeffding_interval(0.99, 1) == pytest.approx((0.0, 1.0), abs=0.05)


def test_hoeffdings_interval_covers_the_mean_of_shares() -> None:
    random = np.random.default_rng(0)
    draws = random.beta(0.3, 0.2, (2000, 40)).mean(axis=1)
    covered = [low <= 0.6 <= high for low, high in (hoeffding_interval(float(mean), 40) for mean in draws)]
    assert np.mean(covered) >= 0.95


def outcomes(clean: str, robust: str) -> Outcomes:
    def bits(word: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.array([letter == "1" for letter in word])

    return Outcomes(tuple(f"{i}.png" for i in range(len(clean))), bits(clean), bits(robust))


def test_a_paired_difference_counts_images() -> None:
    first, second = outcomes("111100", "110000"), outcomes("110010", "011110")
    found = paired_difference(first, second, "clean")
    assert (found.both, found.only_first, found.only_second, found.neither) == (2, 2, 1, 1)
    assert found.difference == pytest.approx(-1 / 6)
    assert found.p_value == 1
    robust = paired_difference(first, second, "robust")
    assert (robust.both, robust.only_first, robust.only_second, robust.neither) == (1, 1, 3, 1)
    assert robust.difference == pytest.approx(2 / 6)
    assert robust.interval == newcombe_paired(1, 3, 1, 1)


def write(file: Path, **columns: list[str] | list[bool]) -> Path:
    np.savez(file, **columns)  # type: ignore[arg-type]
    return file


def test_results_are_matched_by_path_whatever_their_order(tmp_path: Path) -> None:
    one = write(tmp_path / "one.npz", path=["b", "a", "c"], clean=[True, False, True], robust=[True, False, False])
    two = write(tmp_path / "two.npz", path=["c", "b", "a"], clean=[True, True, False], robust=[False, True, False])
    first, second = read_outcomes(one), read_outcomes(two)
    assert first.paths == second.paths == ("a", "b", "c")
    assert paired_difference(first, second, "clean").only_first == 0
    assert paired_difference(first, second, "clean").both == 2
    assert paired_difference(first, second, "robust").both == 1


def test_broken_results_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(HardenerError, match="none.npz is gone: it held the results of each image"):
        read_outcomes(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(HardenerError, match="text.npz does not hold the results of each image"):
        read_outcomes(tmp_path / "text.npz")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(HardenerError, match="cut.npz does not hold the results of each image"):
        read_outcomes(tmp_path / "cut.npz")
    write(tmp_path / "other.npz", path=["a"], clean=[True])
    with pytest.raises(HardenerError, match="other.npz does not hold the results of each image: .*robust"):
        read_outcomes(tmp_path / "other.npz")
    write(tmp_path / "odd.npz", path=["a", "b"], clean=[True], robust=[True])
    with pytest.raises(HardenerError, match="its columns differ in length"):
        read_outcomes(tmp_path / "odd.npz")


def test_results_of_other_images_are_refused() -> None:
    first, second = outcomes("11", "11"), outcomes("111", "111")
    with pytest.raises(HardenerError, match="not of the same images: only one of them has 2.png"):
        paired_difference(first, second, "clean")


@pytest.mark.parametrize(("ahead", "behind", "n"), [(9, 3, 40), (0, 0, 100), (0, 7, 12), (5, 0, 5)])
def test_the_adjusted_interval_of_yes_and_no_is_wald_with_half_an_image_in_each_cell(
    ahead: int, behind: int, n: int
) -> None:
    differences = np.array([1.0] * ahead + [-1.0] * behind + [0.0] * (n - ahead - behind))
    first, second, total = ahead + 0.5, behind + 0.5, n + 2
    middle = (first - second) / total
    half = 1.959964 * math.sqrt(first + second - (first - second) ** 2 / total) / total
    expected = (max(middle - half, -1), min(middle + half, 1))
    assert adjusted_interval(differences) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("law", [(0.0, 0.02, 0.9, 0.04, 0.04), (0.01, 0.04, 0.2, 0.25, 0.5), (0.3, 0.1, 0.2, 0.1, 0.3)])
def test_the_adjusted_interval_covers_the_mean_of_shares_about_as_often_as_it_says(law: tuple[float, ...]) -> None:
    random = np.random.default_rng(0)
    values = np.array([-1, -0.5, 0, 0.5, 1])
    truth = float(values @ law)
    hits = 0
    for _ in range(2000):
        low, high = adjusted_interval(random.choice(values, size=150, p=law))
        hits += low <= truth <= high
    assert 0.93 <= hits / 2000 <= 0.98


def test_mean_differences_average_pairs_image_by_image() -> None:
    def outcomes(clean: str, robust: str, paths: str = "abcd") -> Outcomes:
        return Outcomes(tuple(paths), *(np.array([letter == "1" for letter in word]) for word in (clean, robust)))

    one, two = outcomes("1111", "0011"), outcomes("1110", "0101")
    three, four = outcomes("0000", "0000"), outcomes("1000", "1001")
    assert mean_differences([(one, two), (three, four)], "robust").tolist() == [0.5, 0.5, -0.5, 0.5]
    assert mean_differences([(one, two), (three, four)], "clean").tolist() == [0.5, 0.0, 0.0, -0.5]
    with pytest.raises(HardenerError, match="not of the same images: only one of them has d, e"):
        mean_differences([(one, two), (three, outcomes("1111", "1111", "abce"))], "clean")
