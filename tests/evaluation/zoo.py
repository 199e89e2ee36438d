"""Models that look robust to a naive evaluation and are not, and honest ones, on Digits (8x8, ten classes).

Each fooling model is a wrapper around one naturally trained net, whose robust accuracy at `THREAT` is near zero:
what a naive evaluation shows above that is the wrapper's doing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, grid_sample, log_softmax, softmax

from hardener.config.evaluation_record import Check
from hardener.evaluation.audit import audit
from hardener.evaluation.case import Examined
from hardener.evaluation.robust_accuracy import AttackPlan, RobustAccuracy, robust_accuracy
from hardener.evaluation.verdict import verdict
from hardener.threat import ThreatModel

THREAT = ThreatModel("linf", 0.2)
NUM_TRAINED, NUM_TESTED = 1200, 160
NAIVE = (AttackPlan("pgd", {"steps": 20, "loss": "ce", "rescale": False}),)


@dataclass(frozen=True)
class Exhibit:
    """`trick` says how the model fools an evaluation, or how an honest one was trained."""

    name: str
    trick: str
    model: nn.Module


@cache
def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images (N, 1, 8, 8) in [0, 1] and labels, test images and labels; a fixed shuffle."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))[: NUM_TRAINED + NUM_TESTED]
    images = torch.tensor(found.images[order] / 16, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(found.target[order], dtype=torch.int64)
    return images[:NUM_TRAINED], labels[:NUM_TRAINED], images[NUM_TRAINED:], labels[NUM_TRAINED:]


Vicinity = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]


def as_it_is(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    return images


def gaussian(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    return (images + 0.2 * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def fgsm_rs(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """One step of 1.25 eps from a uniform start (Wong, Rice, Kolter, "Fast is better than free", ICLR 2020)."""
    eps = THREAT.eps
    start = (2 * torch.rand(images.shape, generator=generator) - 1) * eps
    inputs = (images + start).clamp(0, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(cross_entropy(model(inputs), labels), inputs)
    delta = (start + 1.25 * eps * gradient.sign()).clamp(-eps, eps)
    return (images + delta).clamp(0, 1)


def train(vicinity: Vicinity, *, smoothing: float = 0.0, epochs: int = 8, seed: int = 0) -> nn.Module:
    """A net of two convolutions, trained for about a second."""
    images, labels, _, _ = digits()
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(512, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for piece in torch.randperm(len(images), generator=generator).split(64):
            drawn = vicinity(model, images[piece], labels[piece], generator)
            optimizer.zero_grad()
            cross_entropy(model(drawn), labels[piece], label_smoothing=smoothing).backward()
            optimizer.step()
    return model.eval().requires_grad_(False)


class Before(nn.Module):
    """Change the images, then ask the net."""

    def __init__(self, net: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.change = net, change

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(self.change(images))
        return logits


class After(nn.Module):
    """Ask the net, then change its answer."""

    def __init__(self, net: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.change = net, change

    def forward(self, images: Tensor) -> Tensor:
        return self.change(self.net(images))


class WrongGradient(nn.Module):
    """The net's values with the gradient of an untrained one."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.decoy = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))

    def forward(self, images: Tensor) -> Tensor:
        decoy = self.decoy(images)
        logits: Tensor = self.net(images.detach()) + decoy - decoy.detach()
        return logits


class HiddenBranch(nn.Module):
    """A net trained on one signed step, under no_grad, and 0.15 of the natural one, which the gradient sees."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.hidden, self.shown = exhibit("fgsm-rs").model, net

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            hidden: Tensor = self.hidden(images)
        logits: Tensor = hidden + 0.15 * self.shown(images)
        return logits


class TestTimeOptimisation(nn.Module):
    """Move each image to where the net is surer before it answers."""

    __test__ = False  # no test class, whatever pytest thinks of its name

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        moved = images
        for _ in range(2):
            with torch.enable_grad():
                inputs = moved.detach().requires_grad_()
                log_p = log_softmax(self.net(inputs), dim=1)
                entropy = -(log_p.exp() * log_p).sum()
                (gradient,) = torch.autograd.grad(entropy, inputs)
            moved = (moved - 0.04 * gradient.sign()).clamp(0, 1)
        logits: Tensor = self.net(moved)
        return logits


def quantise(images: Tensor) -> Tensor:
    return (images * 6).round() / 6


def threshold(images: Tensor) -> Tensor:
    return (images > 0.5).float()


def jpeg(images: Tensor) -> Tensor:
    """Round the coefficients of the 8x8 cosine transform, coarser for higher frequencies, as JPEG does."""
    place = torch.arange(8.0)
    basis = torch.cos(math.pi / 8 * (place + 0.5) * place.unsqueeze(1)) / 2
    basis[0] /= math.sqrt(2)
    table = 0.1 + 0.03 * (place + place.unsqueeze(1))
    coefficients = basis @ images @ basis.T
    return (basis.T @ ((coefficients / table).round() * table) @ basis).clamp(0, 1)


def numpy_median(images: Tensor) -> Tensor:
    """Replace each pixel by the median of its three neighbours in a row, in numpy: no gradient passes."""
    pixels = np.pad(images.detach().numpy(), ((0, 0), (0, 0), (0, 0), (1, 1)), mode="edge")
    windows = np.stack([pixels[..., :-2], pixels[..., 1:-1], pixels[..., 2:]])
    return torch.from_numpy(np.median(windows, axis=0))


def steep_sigmoid(images: Tensor) -> Tensor:
    return torch.sigmoid(1000 * (images - 0.5))


def shatter(images: Tensor) -> Tensor:
    """Add waves far finer than eps: the value barely changes, the gradient's sign almost everywhere."""
    return images + 0.02 * torch.sin(2 * math.pi * 400 * images)


def detach_most(images: Tensor) -> Tensor:
    """Leave a gradient to three in ten pixels."""
    seen = (torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(5)) < 0.3).float()
    return images * seen + (images * (1 - seen)).detach()


def add_noise(images: Tensor) -> Tensor:
    return images + 0.15 * torch.randn_like(images)


def shift_and_zoom(images: Tensor) -> Tensor:
    """Shift by up to a pixel and zoom by up to a tenth, anew for each image."""
    count = len(images)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, [0, 1], [0, 1]] = 1 + 0.1 * (2 * torch.rand(count, 1) - 1)
    matrix[:, :, 2] = 0.25 * (2 * torch.rand(count, 2) - 1)
    grid = nn.functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return grid_sample(images, grid, align_corners=False)


def subtract_batch_mean(images: Tensor) -> Tensor:
    return images - images.mean(dim=0, keepdim=True) + digits()[0].mean(dim=0, keepdim=True)


HONEST: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "natural": ("trained on the images as they are", lambda: train(as_it_is)),
    "gaussian": ("trained with noise of std 0.2", lambda: train(gaussian)),
    "fgsm-rs": ("trained on one signed step from a random start", lambda: train(fgsm_rs, epochs=12)),
}
FOOLING: dict[str, tuple[str, Callable[[nn.Module], nn.Module]]] = {
    "quantised input": ("pixels rounded to seven levels", lambda net: Before(net, quantise)),
    "thresholded input": ("pixels are black or white", lambda net: Before(net, threshold)),
    "steep sigmoid": ("a sigmoid at each pixel, flat almost everywhere", lambda net: Before(net, steep_sigmoid)),
    "jpeg": ("coefficients of the cosine transform rounded", lambda net: Before(net, jpeg)),
    "numpy median": ("a median filter outside autograd", lambda net: Before(net, numpy_median)),
    "detached": ("the input detached from the graph", lambda net: Before(net, lambda x: x.detach() + 0 * x)),
    "wrong gradient": ("the gradient of an untrained net", WrongGradient),
    "pixels detached": ("no gradient at seven in ten pixels", lambda net: Before(net, detach_most)),
    "hidden branch": ("a stronger part under no_grad", HiddenBranch),
    "shattered": ("waves much finer than eps", lambda net: Before(net, shatter)),
    "probabilities": ("softmax as output", lambda net: After(net, lambda z: softmax(z, dim=1))),
    "saturated softmax": ("softmax of large logits", lambda net: After(net, lambda z: softmax(100 * z, dim=1))),
    "huge logits": ("logits times 1e6", lambda net: After(net, lambda z: 1e6 * z)),
    "tiny logits": ("logits times 1e-6", lambda net: After(net, lambda z: 1e-6 * z)),
    "flat logits": ("logits through a saturated tanh", lambda net: After(net, lambda z: torch.tanh(z - 4))),
    "random noise": ("noise before every answer", lambda net: Before(net, add_noise)),
    "random zoom": ("a random shift and zoom before every answer", lambda net: Before(net, shift_and_zoom)),
    "test-time optimisation": ("images moved to lower entropy first", TestTimeOptimisation),
    "batch statistics": ("the batch's mean subtracted", lambda net: Before(net, subtract_batch_mean)),
}


@cache
def exhibit(name: str) -> Exhibit:
    """Train one of the honest models, or wrap the natural one as one of the fooling."""
    if name in HONEST:
        trick, build = HONEST[name]
        return Exhibit(name, trick, build())
    trick, wrap = FOOLING[name]
    return Exhibit(name, trick, wrap(exhibit("natural").model))


@dataclass(frozen=True)
class Visit:
    """What an evaluation of an exhibit said: before the audit, and after it."""

    run: RobustAccuracy
    worst: RobustAccuracy
    checks: list[Check]
    verdict: str
    reason: str

    @property
    def flags(self) -> set[str]:
        return {check.id for check in self.checks if check.raised}


@cache
def visit(name: str) -> Visit:
    """Examine an exhibit as a naive evaluation would, and audit what it found."""
    return examine(name, NAIVE)


def examine(name: str, plans: tuple[AttackPlan, ...], *, samples: int = 120) -> Visit:
    """Attack an exhibit with `plans`, audit the result and judge it."""
    model = exhibit(name).model
    _, _, images, labels = digits()
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the random models draw from torch's own generator
        run = robust_accuracy(model, images, labels, plans, THREAT, generator=generator)
        audited = audit(Examined(model, images, labels, generator=generator), run, samples=samples)
    judged, reason = verdict(audited.result, num_classes=10, checks=audited.checks)
    return Visit(run, audited.result, audited.checks, judged, reason)
