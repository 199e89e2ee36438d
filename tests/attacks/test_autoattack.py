"""The attacks of AutoAttack's standard suite: closed forms, and the published program on the same network."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module

import numpy as np
import pytest
import torch
from oracles import dual_norm, linear_problem, plane_distance
from torch import Tensor, nn

from hardener.attacks import ATTACKS
from hardener.attacks._apgd_rows import checkpoints
from hardener.attacks._hyperplane import onto_hyperplane
from hardener.attacks.apgd import apgd
from hardener.attacks.apgd_t import apgd_t
from hardener.attacks.fab_t import fab_t
from hardener.attacks.square import square
from hardener.catalog import resolve
from hardener.errors import HardenerError
from hardener.evaluation.robust_accuracy import AttackPlan, robust_accuracy
from hardener.geometry import NORMS, norm_geometry
from hardener.losses import OBJECTIVES
from hardener.runtime import batch
from hardener.threat import ThreatModel

SUITE = ["apgd", "apgd-t", "fab-t", "square"]
CHEAP = {"apgd": {"steps": 8}, "apgd-t": {"steps": 8}, "fab-t": {"steps": 8}, "square": {"queries": 100}}


@pytest.fixture(params=NORMS)
def norm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Counting(nn.Module):
    """Counts the images that a model is shown, and how many of them with a gradient."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.seen = 0
        self.differentiated = 0

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        self.differentiated += len(images) if images.requires_grad else 0
        logits: Tensor = self.model(images)
        return logits


def classes_by_region(count: int, seed: int = 0) -> nn.Module:
    """A linear classifier of 8x8 images with as many classes as asked for."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, count))
    weight = torch.randn(count, 64, generator=seeded(seed))
    model[1].load_state_dict({"weight": weight, "bias": -weight.sum(dim=1) / 2})
    return model.eval()


# Auto-PGD


def test_of_100_steps_the_step_size_is_looked_at_after_those_of_the_paper() -> None:
    """Croce and Hein, ICML 2020: stretches of 22, 19, 16, 13, 10, 7, then 6 steps each."""
    assert list(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(checkpoints(100).values()) == [22, 19, 16, 13, 10, 7, 6, 6]


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20, 1000])
def test_checkpoints_are_steps_and_their_stretches_add_up(steps: int) -> None:
    found = checkpoints(steps)
    assert all(1 <= after <= steps for after in found)
    assert sum(found.values()) == max(found)


@pytest.mark.parametrize("loss", OBJECTIVES)
def test_on_a_linear_model_apgd_ends_at_the_worst_point_of_the_ball(norm: str, loss: str) -> None:
    model, images, labels = linear_problem(20, (1, 8, 8), seed=1)
    weight = float(dual_norm(model.weight.unsqueeze(0), norm))
    eps = 0.99 * float((model.margin(images).detach().abs() / weight).min())  # no image can fall
    found = apgd(model, images, labels, norm=norm, eps=eps, loss=loss, steps=30, generator=seeded())
    fall = (model.margin(images) - model.margin(found)).abs().detach()
    torch.testing.assert_close(fall, torch.full((20,), eps * weight), rtol=1e-3, atol=1e-5)


def test_apgd_halves_its_steps_until_it_stands_on_a_peak_inside_the_ball(norm: str) -> None:
    """With steps of the first size it could only jump over the peak from one side of the ball to the other."""
    images = 0.4 + 0.2 * torch.rand(8, 1, 8, 8, generator=seeded())
    peaks = images + norm_geometry(norm).random_point(images, 0.05, seeded(1))

    class Peak(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            far = (points - peaks[: len(points)]).flatten(1).square().sum(dim=1)
            return torch.stack([torch.ones_like(far), -far], dim=1)

    labels = torch.zeros(8, dtype=torch.int64)
    found = apgd(Peak(), images, labels, norm=norm, eps=0.1, loss="margin", generator=seeded(2))
    shortest = 0.1 if NORMS[norm].is_sparse else 0.05  # of eps: where steps are sparse they halve no further
    assert norm_geometry(norm).size(found - peaks).max() < 0.1 * shortest


@pytest.mark.parametrize("bf16", [False, True])
def test_a_point_that_falls_while_the_objective_does_is_returned_though_a_check_goes_back(bf16: bool) -> None:
    """Where three classes are near, the cross-entropy is higher than where the second wins and the third is far."""

    def model(points: Tensor) -> Tensor:
        moved = (points.mean(dim=(1, 2, 3)) - 0.5) / 0.1
        return torch.stack([0.02 * (1 - moved), 0.6 * moved, -10 * moved.square()], dim=1)

    images, labels = torch.full((2, 1, 4, 4), 0.5), torch.zeros(2, dtype=torch.int64)
    assert model(images).argmax(dim=1).tolist() == [0, 0]
    found = apgd(model, images, labels, norm="linf", eps=0.1, steps=1, random_start=False, bf16=bf16)
    assert model(found).argmax(dim=1).tolist() == [1, 1]


def test_images_that_fell_are_shown_no_more(norm: str) -> None:
    """A linear model falls to the first steps; one image stays beyond reach and takes all of them."""
    model, images, labels = linear_problem(30, (1, 8, 8), seed=2)
    distance = plane_distance(model, images, norm)
    eps = float(distance.sort().values[-2:].mean())  # one image lies farther
    steps, roamed = 40, 0
    if NORMS[norm].is_sparse:  # 24 of the 40 go into wider balls first, where what falls does not leave
        steps, roamed = 16, 30 * (24 + 2)
    one = Counting(model)
    apgd(one, images, labels, norm=norm, eps=eps, steps=40, generator=seeded())
    assert steps + 1 + 29 <= one.seen - roamed < steps + 1 + 29 * 15

    few = Counting(model)
    apgd_t(few, images, labels, norm=norm, eps=eps, steps=40, generator=seeded())
    assert few.seen - roamed < 30 + 41 + 29 * 15

    near = Counting(model)
    fab_t(near, images, labels, norm=norm, eps=eps, steps=40)
    assert near.differentiated <= 40 + 29 * 10


def test_an_image_that_falls_to_a_target_is_not_driven_to_the_next(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "FILLED", 0)  # one target at a time
    model = classes_by_region(5)
    images = torch.rand(12, 1, 8, 8, generator=seeded(1))
    labels = model(images).argmax(dim=1)
    for attack in (apgd_t, fab_t):
        counted = Counting(model)
        attack(counted, images, labels, norm=norm, eps=0.2 if norm == "linf" else 3.0, steps=10)
        assert counted.differentiated < 12 * 11, "all fall to their first target"


@pytest.mark.parametrize("attack", [apgd_t, fab_t])
def test_several_targets_in_one_batch_break_what_one_after_the_other_would(
    attack: Callable[..., Tensor], norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 6)).eval()
    images = torch.rand(16, 1, 8, 8, generator=seeded(1))
    labels = model(images).argmax(dim=1)
    fixed = {"random_start": False} if attack is apgd_t else {}
    broken = []
    for filled in (0, 10**6):
        monkeypatch.setattr(batch, "FILLED", filled)
        found = attack(model, images, labels, norm=norm, eps=0.02 if norm == "linf" else 0.1, steps=10, **fixed)
        within = norm_geometry(norm).size(found - images) <= (0.02 if norm == "linf" else 0.1) + 1e-6
        broken.append((model(found).argmax(dim=1) != labels) & within)
    assert 0 < int(broken[0].sum()) < 16
    assert torch.equal(*broken)


def test_an_unknown_loss_is_named_with_the_known_ones() -> None:
    with pytest.raises(HardenerError, match="unknown loss 'dir'. Known: ce, margin, dlr"):
        apgd(nn.Identity(), torch.rand(1, 1, 8, 8), torch.zeros(1).long(), norm="linf", eps=0.1, loss="dir")


# FAB


def nearest_by_a_solver(image: np.ndarray, normal: np.ndarray, rise: float, norm: str) -> np.ndarray:
    """The projection on a hyperplane within the box, as a linear or quadratic programme that scipy solves."""
    optimize = pytest.importorskip("scipy.optimize")
    bounds = [(-x, 1 - x) for x in image]
    if norm == "l1":  # what rises and what falls, apart
        apart = [*((0, 1 - x) for x in image), *((0, x) for x in image)]
        solved = optimize.linprog(np.ones(2 * len(image)), A_eq=np.r_[normal, -normal][None], b_eq=[rise], bounds=apart)
        return np.asarray(solved.x[: len(image)] - solved.x[len(image) :])
    if norm == "linf":
        count = len(image)
        within = np.block([[np.eye(count), -np.ones((count, 1))], [-np.eye(count), -np.ones((count, 1))]])
        solved = optimize.linprog(
            np.r_[np.zeros(count), 1.0],
            A_ub=within,
            b_ub=np.zeros(2 * count),
            A_eq=np.r_[normal, 0.0][None],
            b_eq=[rise],
            bounds=[*bounds, (0, None)],
        )
        return np.asarray(solved.x[:-1])
    solved = optimize.minimize(
        lambda delta: delta @ delta,
        np.zeros_like(image),
        jac=lambda delta: 2 * delta,
        bounds=bounds,
        constraints={"type": "eq", "fun": lambda delta: normal @ delta - rise, "jac": lambda delta: normal},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    return np.asarray(solved.x)


def test_the_projection_on_a_hyperplane_in_the_box_is_the_one_a_solver_finds(norm: str) -> None:
    generator = seeded()
    images = torch.rand(20, 1, 2, 3, generator=generator, dtype=torch.float64)
    images[:3] = images[:3].round()  # some pixels on the box's sides
    normal = torch.randn(images.shape, generator=generator, dtype=torch.float64)
    normal[3:6, :, 0] = 0  # and some that the plane does not see
    reach = torch.where(normal > 0, normal * (1 - images), -normal * images).sum(dim=(1, 2, 3))
    rise = reach * torch.rand(20, generator=generator, dtype=torch.float64)  # from hardly any pixel at its side to all
    back = torch.where(normal < 0, normal * (1 - images), -normal * images).sum(dim=(1, 2, 3))
    rise[10:] = back[10:] * torch.rand(10, generator=generator, dtype=torch.float64)
    found = onto_hyperplane(images, normal, rise, norm=norm)
    torch.testing.assert_close((normal * found).sum(dim=(1, 2, 3)), rise)
    assert (images + found).min() >= -1e-12
    assert (images + found).max() <= 1 + 1e-12
    for row in range(20):
        best = nearest_by_a_solver(images[row].flatten().numpy(), normal[row].flatten().numpy(), float(rise[row]), norm)
        length = np.linalg.norm(best, ord=NORMS[norm].order)
        assert float(norm_geometry(norm).size(found)[row]) == pytest.approx(length, rel=1e-5, abs=1e-7)


def test_where_the_box_ends_before_the_hyperplane_the_nearest_corner_is_returned(norm: str) -> None:
    images, normal = torch.rand(6, 1, 2, 2, generator=seeded()), torch.randn(6, 1, 2, 2, generator=seeded(1))
    found = onto_hyperplane(images, normal, torch.full((6,), 1e6), norm=norm)
    torch.testing.assert_close(images + found, (normal > 0).float())


def test_a_gradient_of_zero_or_next_to_it_moves_nothing_or_the_right_way(norm: str) -> None:
    images = torch.full((2, 1, 2, 2), 0.5)
    normal = torch.stack([torch.zeros(1, 2, 2), torch.full((1, 2, 2), 1e-30)])
    found = onto_hyperplane(images, normal, torch.tensor([1.0, 1e-30]), norm=norm)
    torch.testing.assert_close(found[0], torch.zeros(1, 2, 2))
    torch.testing.assert_close(found[1].sum(), torch.tensor(1.0))
    if not NORMS[norm].is_sparse:
        torch.testing.assert_close(found[1], torch.full((1, 2, 2), 0.25))


def test_on_a_linear_model_fab_finds_the_distance_to_the_plane(norm: str) -> None:
    model, images, labels = linear_problem(30, (1, 8, 8), seed=3)
    distance = plane_distance(model, images, norm)
    found = fab_t(model, images, labels, norm=norm, eps=0.0, steps=20)
    assert (model(found).argmax(dim=1) != labels).all()
    ratio = norm_geometry(norm).size(found - images) / distance
    assert ratio.min() > 0.999
    assert ratio.max() < 1.01


def test_with_gradients_in_bfloat16_fab_finds_what_float32_sees_with_fewer_looks_at_what_cannot_count() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 6)).eval()
    images = torch.rand(10, 1, 8, 8, generator=seeded(1))
    labels = model(images).argmax(dim=1)
    exact_looks = 0

    def watched(points: Tensor) -> Tensor:
        nonlocal exact_looks
        if not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu"):
            exact_looks += len(points)
        logits: Tensor = model(points)
        return logits

    sizes, looks = [], []
    for bf16 in (False, True):
        exact_looks = 0
        found = fab_t(watched, images, labels, norm="linf", eps=0.0, steps=20, bf16=bf16)
        looks.append(exact_looks)
        assert (model(found).argmax(dim=1) != labels).all()
        sizes.append(norm_geometry("linf").size(found - images))
    assert (sizes[1] / sizes[0]).max() < 1.02
    assert looks[0] > 10 * 5 * 20
    assert looks[1] < looks[0] / 2


def test_a_point_that_only_bfloat16_calls_misclassified_is_no_finding_of_fab() -> None:
    """Near the plane three digits put every second point on the wrong side."""
    weight = torch.randn(2, 64, generator=seeded(2))

    def model(points: Tensor) -> Tensor:
        return points.flatten(1) @ weight.T + torch.tensor([0.0, 0.05])

    images = torch.rand(20, 1, 8, 8, generator=seeded(3))
    labels = model(images).argmax(dim=1)
    found = fab_t(model, images, labels, norm="linf", eps=0.0, steps=30, bf16=True)
    assert (model(found).argmax(dim=1) != labels).all()


def test_fab_goes_on_to_the_nearest_image_only_when_asked(norm: str) -> None:
    model, images, labels = linear_problem(30, (1, 8, 8), seed=3)
    distance = plane_distance(model, images, norm)
    counts = []
    for nearest in (False, True):
        counted = Counting(model)
        found = fab_t(counted, images, labels, norm=norm, eps=1.0, steps=20, nearest=nearest)
        assert (model(found).argmax(dim=1) != labels).all()
        counts.append(counted.differentiated)
    assert counts == [30, 30 * 20]
    assert (norm_geometry(norm).size(found - images) / distance).max() < 1.01


# Square


def test_square_breaks_what_lies_near_the_boundary_of_a_linear_model(norm: str) -> None:
    """Where the ball reaches three times as far as the plane, any change that is a third as good as the best breaks."""
    model, images, labels = linear_problem(30, (1, 8, 8), seed=4)
    distance = plane_distance(model, images, norm)
    eps = float(distance.quantile(0.8))
    found = square(model, images, labels, norm=norm, eps=eps, queries=300, generator=seeded())
    near = distance < eps / 3
    assert near.sum() > 5
    assert (model(found).argmax(dim=1) != labels)[near].all()
    assert (model(found).argmax(dim=1) == labels)[distance > eps].all()


def test_square_never_asks_for_a_gradient_nor_for_more_than_its_queries(norm: str) -> None:
    model, images, labels = linear_problem(10, (1, 8, 8), seed=5)

    class Opaque(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            assert not torch.is_grad_enabled()
            return torch.from_numpy(model(points).detach().numpy())

    counted = Counting(Opaque())
    square(counted, images, labels, norm=norm, eps=1e-4, queries=30, generator=seeded())
    assert counted.seen <= 10 * 30


def test_square_starts_with_stripes_or_tiles_that_use_the_whole_eps(norm: str) -> None:
    images = torch.full((3, 2, 11, 8), 0.5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(176, 2))
    labels = torch.zeros(3, dtype=torch.int64)
    delta = square(model, images, labels, norm=norm, eps=0.1, queries=1, generator=seeded()) - images
    torch.testing.assert_close(norm_geometry(norm).size(delta), torch.full((3,), 0.1))
    if norm == "linf":
        assert torch.equal(delta, delta[:, :, :1].expand_as(delta))
        torch.testing.assert_close(delta.abs(), torch.full_like(delta, 0.1))


# all four


@pytest.mark.parametrize("attack", SUITE)
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("count", [1, 4])
def test_few_classes_and_a_single_image_are_broken_too(attack: str, norm: str, classes: int, count: int) -> None:
    model = classes_by_region(classes)
    images = torch.rand(count, 1, 8, 8, generator=seeded(1))
    labels = model(images).argmax(dim=1)
    eps = 0.5 if norm == "linf" else 8.0
    found = resolve(ATTACKS, attack, "attack")(
        model, images, labels, norm=norm, eps=eps, generator=seeded(), **CHEAP[attack]
    )
    assert (model(found).argmax(dim=1) != labels).all()


@pytest.fixture(scope="module")
def digits() -> tuple[nn.Module, Tensor, Tensor]:
    """A small network trained on Digits with one signed step from a random start, and 200 images that it never saw."""
    datasets = pytest.importorskip("sklearn.datasets")
    data = datasets.load_digits()
    images = torch.from_numpy(data.images).float().unsqueeze(1) / 16
    labels = torch.from_numpy(data.target).long()
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 24, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96, 10),
    )
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(4):
        for rows in torch.randperm(1400, generator=seeded()).split(50):
            delta = (0.2 * torch.rand(images[rows].shape, generator=seeded()) - 0.1).requires_grad_()
            loss = nn.functional.cross_entropy(model(images[rows] + delta), labels[rows])
            (gradient,) = torch.autograd.grad(loss, delta)
            moved = (delta.detach() + 0.12 * gradient.sign()).clamp(-0.1, 0.1)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model((images[rows] + moved).clamp(0, 1)), labels[rows]).backward()
            optimizer.step()
    return model.eval(), images[1400:1600], labels[1400:1600]


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.12), ("l2", 0.6), ("l1", 1.5)])
def test_the_suite_agrees_with_the_published_program_or_breaks_more(
    digits: tuple[nn.Module, Tensor, Tensor], norm: str, eps: float
) -> None:
    """pyautoattack is a fork of the authors' program; both get the same steps and queries."""
    pytest.importorskip("pyautoattack")
    program, apgd_room, fab_room, square_room = (
        import_module(name)
        for name in ("pyautoattack", "pyautoattack.autopgd_base", "pyautoattack.fab_pt", "pyautoattack.square")
    )
    model, images, labels = digits
    plans = [AttackPlan(name, CHEAP[name]) for name in SUITE]
    ours = robust_accuracy(model, images, labels, plans, ThreatModel(norm, eps), batch_size=200, generator=seeded())

    shared = {"eps": eps, "norm": norm.capitalize(), "seed": 0, "verbose": False, "device": "cpu"}
    peer = program.AutoAttack(model, norm=shared["norm"], eps=eps, seed=0, version="standard")
    logger = logging.getLogger("pyautoattack")
    peer.apgd = apgd_room.APGDAttack(model, n_iter=8, n_restarts=1, logger=logger, **shared)
    peer.apgd_targeted = apgd_room.APGDAttack_targeted(
        model, n_iter=8, n_restarts=1, n_target_classes=9, logger=logger, **shared
    )
    peer.fab = fab_room.FABAttack_PT(model, n_iter=8, n_restarts=1, n_target_classes=9, **shared)
    peer.square = square_room.SquareAttack(
        model, n_queries=100, p_init=0.8, n_restarts=1, resc_schedule=False, **shared
    )
    adversarial, _ = peer.run_standard_evaluation(images, labels, batch_size=200)
    with torch.no_grad():
        theirs = float((model(adversarial).argmax(dim=1) == labels).float().mean())
    assert 0.1 < theirs < ours.clean_accuracy - 0.1, "the problem tells attacks apart"
    assert ours.robust_accuracy <= theirs + 0.005
