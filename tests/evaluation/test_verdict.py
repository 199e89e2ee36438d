from __future__ import annotations

import pytest
import torch
from torch import nn

from hardener.config.evaluation_record import Check
from hardener.evaluation.robust_accuracy import AttackOutcome, AttackPlan, RobustAccuracy, robust_accuracy
from hardener.evaluation.verdict import verdict
from hardener.statistics.interval import clopper_pearson
from hardener.threat import ThreatModel

PGD = AttackPlan("pgd", {"steps": 20})
SQUARE = AttackPlan("square", {"queries": 5000})
STRONG = (PGD, SQUARE)


def result(clean: int, robust: int, total: int = 1000, plans: tuple[AttackPlan, ...] = STRONG) -> RobustAccuracy:
    places = torch.arange(total)
    return RobustAccuracy(
        ThreatModel("linf", 0.1),
        predictions=torch.zeros(total, dtype=torch.int64),
        clean_correct=places < clean,
        robust_correct=places < robust,
        broken_by=torch.full((total,), -1),
        became=torch.zeros(total, dtype=torch.int64),
        distance=torch.full((total,), torch.inf),
        outcomes=[AttackOutcome(plan, robust / total, clean, clean - robust, 0.0) for plan in plans],
    )


def check(name: str, raised: bool | None) -> Check:
    return Check(id=name, question="?", answer="!", value=None, raised=raised)


@pytest.mark.parametrize(
    ("clean", "robust", "classes", "expected"),
    [
        (950, 850, 10, "robust"),
        (950, 730, 10, "partly robust"),  # 730 of 950 is more than 3/4, the interval's lower end, 74.0 %, is not
        (950, 500, 10, "partly robust"),
        (950, 250, 10, "partly robust"),
        (950, 200, 10, "not robust"),  # of 200 of 950 the interval ends at 23.8 %, under a quarter
        (950, 0, 10, "not robust"),
        (950, 500, 2, "not robust"),  # guessing is as good
        (950, 520, 2, "not robust"),  # and nearly as good: the interval, 48.8 to 55.1 %, holds chance
        (950, 540, 2, "partly robust"),  # 50.8 to 57.1 %
        (950, 600, 2, "partly robust"),
        (950, 850, 2, "robust"),
        (100, 100, 10, "not robust"),  # nothing broken, and nothing known
    ],
)
def test_it_follows_from_the_interval_chance_and_the_clean_accuracy(
    clean: int, robust: int, classes: int, expected: str
) -> None:
    found = result(clean, robust)
    word, reason = verdict(found, num_classes=classes, checks=[])
    assert word == expected
    assert reason.startswith(f"The worst case leaves {robust / 10:.1f} % of 1,000 images right (95 % interval ")
    assert f"of {clean / 10:.1f} % when clean" in reason
    assert reason.endswith(".")


@pytest.mark.parametrize(("robust", "expected"), [(900, "inconclusive"), (500, "inconclusive"), (100, "not robust")])
def test_a_flag_makes_it_inconclusive_unless_the_model_is_broken_anyway(robust: int, expected: str) -> None:
    checks = [check("gradients-zero", True), check("half-box", False), check("ce-gap", None)]
    word, reason = verdict(result(950, robust), num_classes=10, checks=checks)
    assert word == expected
    assert ("gradients-zero" in reason) == (expected == "inconclusive")
    assert "half-box" not in reason


@pytest.mark.parametrize(
    ("plans", "expected"),
    [
        (STRONG, "robust"),
        ((AttackPlan("apgd-t"), AttackPlan("square")), "robust"),  # its default is 5,000 queries
        ((PGD, AttackPlan("square", {"queries": 100})), "partly robust"),
        ((PGD,), "partly robust"),
        ((SQUARE,), "inconclusive"),
        ((AttackPlan("fgsm"),), "inconclusive"),
        ((AttackPlan("fgsm"), SQUARE), "inconclusive"),
    ],
)
def test_robust_is_said_only_after_gradient_attacks_and_one_without(
    plans: tuple[AttackPlan, ...], expected: str
) -> None:
    assert verdict(result(950, 940, plans=plans), num_classes=10, checks=[])[0] == expected


def test_an_audit_that_attacked_again_makes_up_for_a_run_of_one_step_only() -> None:
    found = result(950, 940, plans=(AttackPlan("fgsm"),))
    asked, not_asked = check("not-converged", False), check("not-converged", None)
    assert verdict(found, num_classes=10, checks=[check("gradients-zero", False), asked])[0] == "partly robust"
    assert verdict(found, num_classes=10, checks=[check("gradients-zero", False), not_asked])[0] == "inconclusive"
    without = [check("gradients-zero", None), asked]  # Square attacked again, not PGD
    assert verdict(found, num_classes=10, checks=without)[0] == "inconclusive"


def test_too_few_images_settle_nothing_unless_all_of_them_fall() -> None:
    assert verdict(result(10, 5, 10), num_classes=10, checks=[])[0] == "inconclusive"
    assert verdict(result(40, 20, 40), num_classes=10, checks=[])[0] == "partly robust"
    assert verdict(result(3, 0, 3), num_classes=10, checks=[])[0] == "not robust"


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        *((count, "not robust") for count in range(4)),  # of three, the interval ends at 57.2 %: hardly above chance
        *((count, "inconclusive") for count in range(4, 10)),  # of nine, it begins at 42.8 %
        *((count, "robust") for count in (10, 11, 12)),  # of ten, it begins at 51.6 %
    ],
)
def test_twelve_images_of_two_classes_say_little(standing: int, expected: str) -> None:
    """Of a model that guesses, ten or more of twelve are right in 2 % of all cases, seven or more in 39 %."""
    word, reason = verdict(result(standing, standing, 12), num_classes=2, checks=[])
    assert word == expected or (expected, word) == ("robust", "partly robust")
    assert ("too few images to tell it from guessing, 50.0 %" in reason) == (expected == "inconclusive")


def test_an_untrained_network_of_two_classes_is_not_called_partly_robust_for_twelve_images() -> None:
    words = set()
    for seed in range(12):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)).eval()
        images, labels = torch.rand(12, 1, 6, 6), torch.arange(12) % 2
        found = robust_accuracy(model, images, labels, STRONG[:1], ThreatModel("linf", 1e-4))
        words.add(verdict(found, num_classes=2, checks=[])[0])
    assert words <= {"not robust", "inconclusive"}


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("total", [4, 12, 60, 300])
def test_whatever_is_called_robust_or_partly_robust_lies_surely_above_chance(total: int, classes: int) -> None:
    for standing in range(0, total + 1, max(total // 50, 1)):
        word, _ = verdict(result(total, standing, total), num_classes=classes, checks=[])
        if word in {"robust", "partly robust"}:
            assert clopper_pearson(standing, total)[0] > 1 / classes


def test_more_images_of_a_guessing_model_settle_that_it_guesses() -> None:
    for classes, few, enough in ((2, 40, 80), (10, 10, 40)):
        guessing = [result(total // classes, total // classes, total) for total in (few, enough)]
        words = [verdict(found, num_classes=classes, checks=[])[0] for found in guessing]
        assert words == ["inconclusive", "not robust"]


def test_it_never_gets_better_as_more_images_fall() -> None:
    order = ["not robust", "partly robust", "robust"]
    places = [order.index(verdict(result(1000, left), num_classes=10, checks=[])[0]) for left in range(0, 1001, 50)]
    assert places == sorted(places)
    assert set(places) == {0, 1, 2}


@pytest.mark.parametrize(("robust", "expected"), [(900, "not robust"), (905, "not robust"), (990, "robust")])
def test_a_model_that_may_always_name_the_largest_class_must_do_better_than_that(robust: int, expected: str) -> None:
    word, reason = verdict(result(robust, robust), num_classes=2, checks=[], largest_class=0.9)
    assert word == expected
    assert ("better than always naming the largest class, 90.0 %" in reason) == (expected == "not robust")
    assert verdict(result(robust, robust), num_classes=2, checks=[])[0] == "robust"


def test_one_image_is_told_as_one() -> None:
    _, reason = verdict(result(0, 0, total=1), num_classes=10, checks=[])
    assert reason.startswith("The worst case leaves 0.0 % of 1 image right (")
