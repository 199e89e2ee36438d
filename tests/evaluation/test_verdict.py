from __future__ import annotations

import pytest
import torch

from hardener.config.evaluation_record import Check
from hardener.evaluation.robust_accuracy import AttackOutcome, AttackPlan, RobustAccuracy
from hardener.evaluation.verdict import verdict
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
        distance=torch.full((total,), torch.inf),
        outcomes=[AttackOutcome(plan, robust / total, clean, clean - robust, 0.0) for plan in plans],
    )


def check(name: str, raised: bool | None) -> Check:
    return Check(id=name, question="?", answer="!", value=None, raised=raised)


@pytest.mark.parametrize(
    ("clean", "robust", "classes", "expected"),
    [
        (950, 850, 10, "robust"),
        (950, 730, 10, "partly robust"),  # 73 % is more than 3/4 of 95 %, the interval's lower end, 70.1 %, is not
        (950, 500, 10, "partly robust"),
        (950, 250, 10, "partly robust"),
        (950, 200, 10, "not robust"),  # the interval's upper end, 22.6 %, is under a quarter of 95 %
        (950, 0, 10, "not robust"),
        (950, 500, 2, "not robust"),  # guessing is as good
        (950, 600, 2, "partly robust"),
        (100, 100, 10, "not robust"),  # nothing broken, and nothing known
    ],
)
def test_it_follows_from_the_interval_chance_and_the_clean_accuracy(
    clean: int, robust: int, classes: int, expected: str
) -> None:
    found = result(clean, robust)
    word, reason = verdict(found, num_classes=classes, checks=[])
    assert word == expected
    assert reason.startswith(f"The worst case leaves {robust / 10:.1f} % of 1000 images right (95 % interval ")
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


def test_it_never_gets_better_as_more_images_fall() -> None:
    order = ["not robust", "partly robust", "robust"]
    places = [order.index(verdict(result(1000, left), num_classes=10, checks=[])[0]) for left in range(0, 1001, 50)]
    assert places == sorted(places)
    assert set(places) == {0, 1, 2}
