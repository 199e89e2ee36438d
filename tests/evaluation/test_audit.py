from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from oracles import linear_problem
from torch import Tensor, nn
from torch.autograd import grad as gradient_under_another_name
from zoo import FOOLING, HONEST, NAIVE, THREAT, Before, digits, examine, exhibit, visit

from hardener.attacks import ATTACKS
from hardener.catalog import resolve
from hardener.errors import HardenerError
from hardener.evaluation.audit import AuditResult, audit, flags_of
from hardener.evaluation.case import Examined
from hardener.evaluation.questions import QUESTIONS, sees_only_cross_entropy
from hardener.evaluation.robust_accuracy import AttackOutcome, AttackPlan, RobustAccuracy, robust_accuracy
from hardener.evaluation.verdict import verdict
from hardener.threat import ThreatModel

ROOT = Path(__file__).resolve().parent.parent.parent
PGD = AttackPlan("pgd", {"steps": 20})
EXPECTED = {
    "quantised input": {"gradients-zero"},
    "thresholded input": {"gradients-zero"},
    "steep sigmoid": {"half-box"},
    "jpeg": {"gradients-zero"},
    "numpy median": {"gradients-zero"},
    "detached": {"gradients-zero", "gradient-free"},
    "wrong gradient": {"gradient-free", "noise-as-bad", "half-box"},
    "probabilities": {"probabilities"},
    "saturated softmax": {"probabilities", "gradients-zero"},
    "huge logits": {"logit-scale", "not-converged", "ce-gap"},
    "tiny logits": {"logit-scale"},
    "random noise": {"answers-differ", "more-eps"},
    "random zoom": {"answers-differ", "single-step"},
    "test-time optimisation": {"autograd-in-forward"},
    "batch statistics": {"batch-dependent"},
}


def audited(model: nn.Module, images: Tensor, labels: Tensor, result: RobustAccuracy, samples: int = 40) -> AuditResult:
    examined = Examined(model, images, labels, generator=torch.Generator().manual_seed(0))
    return audit(examined, result, samples=samples)


def raised(found: AuditResult) -> set[str]:
    return {check.id for check in found.checks if check.raised}


@pytest.mark.parametrize("name", FOOLING)
def test_every_model_that_fools_a_naive_evaluation_is_flagged_or_broken(name: str) -> None:
    found, true = visit(name), visit("natural").worst.robust_accuracy
    assert found.flags or found.worst.robust_accuracy <= true + 0.05
    assert found.verdict in {"not robust", "inconclusive"}, found.reason
    assert found.flags >= EXPECTED.get(name, set())


@pytest.mark.parametrize("name", HONEST)
def test_no_honest_model_is_flagged_or_called_inconclusive(name: str) -> None:
    found = visit(name)
    assert found.flags == set()
    assert found.verdict in {"not robust", "partly robust"}, found.reason
    assert found.worst.robust_accuracy > found.run.robust_accuracy - 0.05


def test_the_zoo_shows_what_it_is_for() -> None:
    """A naive PGD is fooled by most of its exhibits, by 20 points at least, and every question is raised by some."""
    true = visit("natural").worst.robust_accuracy
    fooled = [name for name in FOOLING if visit(name).run.robust_accuracy > true + 0.2]
    assert len(fooled) >= 12
    unseen = set(QUESTIONS) - set().union(*(visit(name).flags for name in FOOLING))
    assert unseen == {"not-finite", "small-eps"}  # each has a test of its own below


def test_the_margin_loss_and_rescaled_logits_see_through_a_scale() -> None:
    for name in ("huge logits", "tiny logits"):
        found = examine(name, (AttackPlan("pgd"), AttackPlan("pgd", {"loss": "margin"})))
        assert found.worst.robust_accuracy <= visit("natural").worst.robust_accuracy + 0.02
        assert found.flags == set()
        assert found.verdict == "not robust"


def test_an_attack_that_stops_too_soon_is_told_and_its_figure_put_right() -> None:
    timid = AttackPlan("pgd", {"steps": 2, "step_size": 0.02, "random_start": False})
    found = examine("natural", (timid,))
    assert found.run.robust_accuracy > 0.5
    assert found.flags == {"not-converged"}
    assert found.worst.robust_accuracy <= visit("natural").worst.robust_accuracy + 0.02
    assert found.verdict == "not robust"


@pytest.mark.parametrize("name", ["detached", "wrong gradient", "jpeg"])
def test_where_the_gradient_hides_what_square_sees_all_survivors_are_searched(name: str) -> None:
    found = visit(name)
    (check,) = (check for check in found.checks if check.id == "gradient-free")
    told = re.search(r"All (\d+) images that still stood were then given (\d+) queries: (\d+) fell.", check.answer)
    assert told is not None, check.answer
    standing, queries, fell = map(int, told.groups())
    assert queries == 4 * (1 + 3 * 20), "four times the passes of a PGD-20, a gradient counted as three"
    assert fell > 0.7 * standing
    assert found.run.robust_accuracy > 0.85
    assert found.worst.robust_accuracy < 0.2
    assert found.verdict == "not robust", "and no longer inconclusive"


def test_a_run_that_searched_by_itself_is_not_searched_again() -> None:
    plans = (*NAIVE, AttackPlan("square", {"queries": 300}))
    found = examine("detached", plans)
    (check,) = (check for check in found.checks if check.id == "gradient-free")
    assert re.fullmatch(
        r"square broke \d+ of \d+ images that the gradient attacks before it had left standing\.", check.answer
    )


def test_noise_that_breaks_more_than_the_gradient_makes_square_search_too() -> None:
    found = examine("detached", (*NAIVE, AttackPlan("random-noise")))
    (check,) = (check for check in found.checks if check.id == "gradient-free")
    assert check.answer.startswith("random-noise broke")
    assert "images that still stood were then given" in check.answer
    assert found.worst.robust_accuracy < 0.2


def as_a_file(name: str, attack: str = "square") -> tuple[AuditResult, str]:
    """Run and audit an exhibit as an ONNX file, whose answers are all there is."""
    images, labels = (values[:120] for values in digits()[2:])
    model = Before(exhibit(name).model, lambda pixels: pixels.detach())
    settings = {"queries": 1000} if attack == "square" else {}
    generator = torch.Generator().manual_seed(0)
    run = robust_accuracy(model, images, labels, [AttackPlan(attack, settings)], THREAT, generator=generator)
    examined = Examined(model, images, labels, generator=generator, differentiable=False)
    found = audit(examined, run, samples=120)
    return found, verdict(found.result, num_classes=10, checks=found.checks)[0]


WITHOUT_GRADIENTS = {
    "not-finite", "answers-differ", "batch-dependent", "probabilities", "small-eps", "not-converged", "noise-as-bad",
    "more-eps", "half-box",
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_file_without_gradients_is_asked_what_answers_tell_and_raises_no_flag(name: str) -> None:
    found, judged = as_a_file(name)
    assert {check.id for check in found.checks if check.raised is not None} == WITHOUT_GRADIENTS
    for check in found.checks:
        assert check.raised is not None or check.answer.startswith("Not asked: the file "), check.answer
    assert raised(found) == set()
    assert judged in {"not robust", "inconclusive"}, "no attack followed gradients"


def test_a_file_that_answers_oddly_or_was_hardly_attacked_is_flagged_without_gradients() -> None:
    assert "probabilities" in raised(as_a_file("probabilities")[0])
    assert "batch-dependent" in raised(as_a_file("batch statistics")[0])
    found, judged = as_a_file("natural", "random-noise")
    assert raised(found) == {"not-converged"}
    assert found.result.robust_accuracy < 0.2
    assert judged == "not robust"


def test_what_the_audit_breaks_counts_as_broken_and_has_a_distance() -> None:
    found = visit("huge logits")
    fell = found.run.robust_correct & ~found.worst.robust_correct
    assert int(fell.sum()) > 50
    outcome = found.worst.outcomes[-1]
    assert outcome.plan.name == "audit"
    assert outcome.broken == int(fell.sum()) <= outcome.attacked
    assert outcome.robust_accuracy == found.worst.robust_accuracy
    assert set(found.worst.broken_by[fell].tolist()) == {len(found.run.outcomes)}
    assert bool((found.worst.distance[fell] <= THREAT.eps * (1 + 1e-5)).all())
    assert bool((found.worst.distance <= found.run.distance).all())
    assert torch.equal(found.worst.broken_by[~fell], found.run.broken_by[~fell])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_on_a_linear_model_there_is_nothing_to_find(norm: str) -> None:
    model, images, labels = linear_problem(120, (1, 4, 4), seed=2)
    dual = model.weight.detach().abs().sum() if norm == "linf" else model.weight.detach().norm()
    distance = model.margin(images).detach().abs() / dual
    eps = float(distance.median())
    run = robust_accuracy(model, images, labels, [AttackPlan("fgsm")], ThreatModel(norm, eps))
    done: list[int] = []
    examined = Examined(model, images, labels, generator=torch.Generator().manual_seed(0))
    found = audit(examined, run, on_done=done.append)
    assert raised(found) == set()
    assert torch.equal(found.result.robust_correct, run.robust_correct)
    assert bool((found.result.distance >= distance - 1e-5).all()), "an upper bound of the true distance"
    assert len(done) == len(QUESTIONS)
    assert sum(done) == 100


def test_model_images_and_run_are_left_as_they_were() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3))
    model.train()
    images = torch.rand(30, 1, 4, 4)
    labels = torch.randint(3, (30,))
    run = robust_accuracy(model, images, labels, [PGD], THREAT)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kept, stood, distance = images.clone(), run.robust_correct.clone(), run.distance.clone()
    audited(model, images, labels, run)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(images, kept)
    assert torch.equal(run.robust_correct, stood)
    assert torch.equal(run.distance, distance)
    assert sys.getprofile() is None


def test_one_image_two_classes_and_bytes_will_do() -> None:
    model, images, labels = linear_problem(1, (1, 2, 2), seed=3)
    grey = (images * 255).round().to(torch.uint8)
    labels = model(grey.float() / 255).argmax(1)
    run = robust_accuracy(model, grey, labels, [PGD], ThreatModel("linf", 0.01))
    assert raised(audited(model, grey, labels, run, samples=1)) == set()


def test_where_no_image_is_right_attacks_are_not_asked_about() -> None:
    model, images, labels = linear_problem(10, (1, 2, 2), seed=4)
    run = robust_accuracy(model, images, 1 - labels, [PGD], ThreatModel("linf", 0.01))
    found = audited(model, images, 1 - labels, run)
    asked = {check.id for check in found.checks if check.raised is not None}
    assert raised(found) == set()
    assert {"not-converged", "single-step", "noise-as-bad", "ce-gap", "more-eps", "half-box"}.isdisjoint(asked)
    assert {"gradients-zero", "probabilities", "answers-differ"} <= asked


def test_a_gradient_that_is_not_a_number_is_told() -> None:
    images, labels = (values[:40] for values in digits()[2:])
    model = Before(exhibit("natural").model, lambda pixels: pixels.pow(2).sqrt())  # its derivative at 0 is 0 / 0
    run = robust_accuracy(model, images, labels, [], THREAT)
    found = audited(model, images, labels, run)
    assert "not-finite" in raised(found)


@pytest.mark.parametrize(("eps", "small"), [(0.4 / 255, True), (0.6 / 255, False)])
def test_an_eps_below_half_a_grey_level_is_told(eps: float, small: bool) -> None:
    model, images, labels = linear_problem(30, (1, 4, 4), seed=5)
    run = robust_accuracy(model, images, labels, [PGD], ThreatModel("linf", eps))
    assert ("small-eps" in raised(audited(model, images, labels, run))) == small


class Purifying(nn.Module):
    def __init__(self, search: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.search = search

    def forward(self, images: Tensor) -> Tensor:
        with torch.enable_grad():
            moved = self.search(images.detach().requires_grad_())
        logits: Tensor = (images + 0 * moved).flatten(1)[:, :3]
        return logits


def by_backward(images: Tensor) -> Tensor:
    images.square().sum().backward()
    assert images.grad is not None
    return images.grad


@pytest.mark.parametrize(
    "search", [by_backward, lambda images: gradient_under_another_name(images.square().sum(), images)[0]]
)
def test_autograd_is_seen_in_the_forward_pass_under_any_name(search: Callable[[Tensor], Tensor]) -> None:
    images = torch.rand(6, 1, 2, 2)
    model = Purifying(search)
    run = robust_accuracy(model, images, images.flatten(1)[:, :3].argmax(1), [], THREAT)
    assert "autograd-in-forward" in raised(audited(model, images, images.flatten(1)[:, :3].argmax(1), run))


@pytest.mark.parametrize(
    ("names", "flagged"),
    [
        (("pgd", "transfer"), True),
        (("pgd", "random-noise"), True),
        (("transfer", "pgd"), False),
        (("pgd", "apgd"), False),
    ],
)
def test_what_a_blind_attack_broke_after_a_seeing_one_is_told(names: tuple[str, str], flagged: bool) -> None:
    model, images, labels = linear_problem(60, (1, 2, 2), seed=6)
    plain = robust_accuracy(model, images, labels, [], ThreatModel("linf", 0.001))
    fell = torch.arange(60) < 5
    run = replace(
        plain,
        robust_correct=~fell,
        broken_by=torch.where(fell, 1, -1),
        outcomes=[AttackOutcome(AttackPlan(name), 1.0, 60, 0, 0.0) for name in names],
    )
    assert ("gradient-free" in raised(audited(model, images, labels, run))) == flagged


@pytest.mark.parametrize(
    ("plans", "only"),
    [
        ([AttackPlan("fgsm"), AttackPlan("bim"), AttackPlan("pgd", {"rescale": False})], True),
        ([AttackPlan("apgd"), AttackPlan("square")], True),
        ([AttackPlan("pgd")], False),
        ([AttackPlan("bim"), AttackPlan("apgd", {"loss": "dlr"})], False),
        ([AttackPlan("fab-t")], False),
    ],
)
def test_it_knows_which_runs_depend_on_the_scale_of_the_logits(plans: list[AttackPlan], only: bool) -> None:
    assert sees_only_cross_entropy(plans) == only


def asks_for_gradients(name: str) -> bool | None:
    """Whether an attack from the catalog differentiates the model; None if it needs something that is not here."""
    asked = False
    model, images, labels = linear_problem(3, (1, 8, 8), seed=7)

    def watching(given: Tensor) -> Tensor:
        nonlocal asked
        asked |= given.requires_grad
        logits: Tensor = model(given)
        return logits

    watched = Before(nn.Identity(), watching)
    attack, generator = resolve(ATTACKS, name, "attack"), torch.Generator().manual_seed(0)
    few = {"steps": 2, "queries": 20}
    settings = {key: value for key, value in few.items() if key in inspect.signature(attack).parameters}
    try:
        attack(watched, images, labels, norm="linf", eps=0.01, generator=generator, **settings)
    except HardenerError:
        return None
    return asked


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attacks_families_say_whether_it_differentiates_the_model(name: str) -> None:
    """An attack of no family counts for nothing in the verdict."""
    entry, asked = ATTACKS[name], asks_for_gradients(name)
    assert entry.families, f"{name} belongs to no family"
    if asked is None:
        assert entry.extra is not None or entry.needs_surrogate
    else:
        assert asked == (entry.follows_gradients or "single-step" in entry.families)
        assert asked != entry.is_blind


def test_every_flag_has_its_section_and_every_section_its_flag() -> None:
    page = (ROOT / "docs" / "flags.md").read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]}
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "hardener").rglob("*.py"))
    elsewhere = set(re.findall(r"docs/flags\.md#([a-z0-9-]+)\"", sources))
    assert set(sections) == set(QUESTIONS) | elsewhere
    for name, text in sections.items():
        for opening in ("**Raised if** ", "**It means** ", "**Do** "):
            assert f"\n\n{opening}" in text, f"{name} lacks {opening}"


def test_a_flag_carries_its_answer_and_its_page() -> None:
    checks = visit("huge logits").checks
    assert [check.id for check in checks] == list(QUESTIONS)
    flags = flags_of(checks)
    assert {flag.id for flag in flags} == visit("huge logits").flags
    answers = {check.id: check.answer for check in checks}
    for flag in flags:
        assert flag.page == f"docs/flags.md#{flag.id}"
        assert flag.message == answers[flag.id]
        assert flag.message.endswith(".")
