"""DeepFool and FMN: how near is the nearest misclassified image?"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from oracles import Linear, dual_norm, linear_problem, plane_distance
from torch import Tensor, nn

from hardener.attacks import ATTACKS
from hardener.attacks.deepfool import deepfool
from hardener.attacks.fmn import fmn
from hardener.catalog import resolve
from hardener.evaluation.robust_accuracy import AttackPlan, robust_accuracy
from hardener.geometry import NORMS, norm_geometry
from hardener.threat import ThreatModel

Attack = Callable[..., Tensor]


@pytest.fixture(params=["deepfool", "fmn"])
def attack(request: pytest.FixtureRequest) -> Attack:
    found: Attack = resolve(ATTACKS, request.param, "attack")
    return found


@pytest.fixture(params=NORMS)
def norm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(8, 8, 3, stride=2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(72, 5),
    ).eval()


def own_labels(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        labels: Tensor = model(images).argmax(dim=1)
    return labels


def test_on_a_linear_model_the_distance_is_the_margin_over_the_dual_norm(attack: Attack, norm: str) -> None:
    model, images, labels = linear_problem(30, (3, 8, 8), seed=0)
    true = plane_distance(model, images, norm)
    found = attack(model, images, labels, norm=norm, eps=0.0)
    assert bool(own_labels(model, found).ne(labels).all())
    ratio = norm_geometry(norm).size(found - images) / true
    assert ratio.min() >= 1 - 1e-3  # in float32 a label may flip just before the plane
    assert ratio.max() <= 1.025


def test_of_several_classes_the_nearest_plane_counts(attack: Attack, norm: str) -> None:
    """Logits W x + b: the plane of class k lies at (z_y - z_k) / dual norm of (w_k - w_y)."""
    torch.manual_seed(0)
    last = nn.Linear(64, 6)
    model = nn.Sequential(nn.Flatten(), last).eval()
    images = 0.3 + 0.4 * torch.rand(20, 1, 8, 8)
    labels = own_labels(model, images)
    with torch.no_grad():
        true = torch.full((20,), torch.inf)
        for row, label in enumerate(labels.tolist()):
            for rival in set(range(6)) - {label}:
                tie = Linear(last.weight[label] - last.weight[rival], float(last.bias[label] - last.bias[rival]))
                true[row] = torch.minimum(true[row], plane_distance(tie, images[row : row + 1], norm)[0])
    assert norm == "l1" or true.max() < (0.3 if norm == "linf" else 1), "otherwise the box would count"
    found = attack(model, images, labels, norm=norm, eps=0.0)
    ratio = norm_geometry(norm).size(found - images) / true
    assert ratio.min() >= 1 - 1e-3
    assert ratio.max() <= 1.03


def test_deepfool_lies_its_overshoot_beyond_the_plane_until_it_goes_back(norm: str) -> None:
    model, images, labels = linear_problem(20, (1, 8, 8), seed=1)
    true = plane_distance(model, images, norm)
    far = true > 1e-3  # nearer, float32's last digits count
    for overshoot in (0.02, 0.2):
        sizes = [
            norm_geometry(norm).size(
                deepfool(model, images, labels, norm=norm, eps=0.0, overshoot=overshoot, halvings=halvings) - images
            )
            for halvings in (0, 10)
        ]
        torch.testing.assert_close(sizes[0][far], (1 + overshoot) * true[far], rtol=1e-3, atol=0.0)
        torch.testing.assert_close(sizes[1][far], true[far], rtol=2e-3, atol=0.0)


def test_a_pixel_at_the_border_of_the_box_does_not_help(attack: Attack, norm: str) -> None:
    """Half of the pixels are 0 and would have to fall: the plane's distance is that within the other half."""
    weight = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
    images = torch.full((4, 1, 8, 8), 0.5)
    images[:, :, :4] = 0.0
    weight[:, :4] = weight[:, :4].abs()
    model = Linear(weight, 0.0)
    model = Linear(weight, 0.3 - float(model.margin(images)[0].detach()))
    labels = own_labels(model, images)
    assert bool(labels.eq(1).all())
    free = weight.clone()
    free[:, :4] = 0
    found = attack(model, images, labels, norm=norm, eps=0.0)
    ratio = norm_geometry(norm).size(found - images) * dual_norm(free.unsqueeze(0), norm) / 0.3
    assert ratio.min() >= 1 - 1e-3
    assert ratio.max() <= 1.03


def test_images_that_are_misclassified_already_stay_and_cost_one_pass(attack: Attack, norm: str) -> None:
    model, images, labels = linear_problem(6, (1, 8, 8), seed=2)
    wrong = 1 - labels
    rows: list[int] = []
    model.register_forward_hook(lambda _, given, __: rows.append(len(given[0])))
    assert torch.equal(attack(model, images, wrong, norm=norm, eps=0.0), images)
    assert rows == [6]


def test_an_image_leaves_deepfool_as_soon_as_it_falls(norm: str) -> None:
    model, images, labels = linear_problem(20, (1, 8, 8), seed=3)
    near = plane_distance(model, images, norm).argsort()[:6]  # the box does not count on the way, in l1 either
    images, labels = images[near], labels[near]
    rows: list[int] = []
    model.register_forward_hook(lambda _, given, __: rows.append(len(given[0])))
    deepfool(model, images, labels, norm=norm, eps=0.0, steps=50, halvings=3)
    assert rows == [6, 6, 6, *[6] * 4]  # to choose the rivals, for the gradients, and to check; then to go back


@pytest.mark.parametrize("kind", ["flat", "detached", "tied"])
def test_a_model_without_a_way_out_gives_the_images_back(attack: Attack, norm: str, kind: str) -> None:
    class Stubborn(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            first = torch.zeros(len(images)) if kind == "tied" else torch.ones(len(images))
            logits = torch.stack([first, torch.zeros(len(images))], dim=1)
            return logits if kind == "detached" else logits + 0 * images.sum()

    images = torch.rand(3, 1, 8, 8)
    found = attack(Stubborn(), images, torch.zeros(3, dtype=torch.int64), norm=norm, eps=0.1)
    assert torch.equal(found, images)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_the_scale_of_the_logits_does_not_matter(attack: Attack, norm: str, scale: float) -> None:
    model = network()
    images = torch.rand(8, 1, 8, 8)
    labels = own_labels(model, images)
    sizes = []
    for factor in (1.0, scale):
        last = model[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight.mul_(factor)
            last.bias.mul_(factor)
        sizes.append(norm_geometry(norm).size(attack(model, images, labels, norm=norm, eps=0.0) - images))
    torch.testing.assert_close(sizes[1], sizes[0], rtol=0.02, atol=1e-4)


def test_more_steps_of_fmn_come_no_farther(norm: str) -> None:
    model = network()
    images = torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = own_labels(model, images)
    quick, slow = (
        norm_geometry(norm).size(fmn(model, images, labels, norm=norm, eps=0.0, steps=steps) - images)
        for steps in (20, 100)
    )
    assert slow.mean() <= quick.mean()


@pytest.mark.parametrize(
    ("attack", "norm", "peer"),
    [
        ("deepfool", "linf", "LinfDeepFoolAttack"),
        ("deepfool", "l2", "L2DeepFoolAttack"),
        ("fmn", "linf", "LInfFMNAttack"),
    ],
    indirect=["attack", "norm"],
)
def test_the_distances_are_those_of_foolbox(attack: Attack, norm: str, peer: str) -> None:
    """Without its FMN for l2: of version 3.3.4, it lands three times as far as DeepFool on a small network."""
    model = network()
    images = torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = own_labels(model, images)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        foolbox = pytest.importorskip("foolbox")
        bounded = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        theirs = getattr(foolbox.attacks, peer)(steps=100)(bounded, images, labels, epsilons=None)[1]
    size = norm_geometry(norm).size
    ours = attack(model, images, labels, norm=norm, eps=0.0, steps=100)
    assert size(ours - images).median() == pytest.approx(float(size(theirs - images).median()), rel=0.05)


def test_the_evaluator_records_the_distance_beyond_eps(attack: Attack, norm: str) -> None:
    model, images, labels = linear_problem(20, (1, 8, 8), seed=4)
    true = plane_distance(model, images, norm)
    plan = AttackPlan("deepfool" if attack is deepfool else "fmn")
    found = robust_accuracy(model, images, labels, [plan], ThreatModel(norm, float(true.median())))
    assert found.robust_accuracy == pytest.approx(0.5, abs=0.051)
    torch.testing.assert_close(found.distance, true, rtol=0.025, atol=1e-4)
