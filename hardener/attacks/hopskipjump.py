"""HopSkipJump: walk along the decision boundary, seeing decisions alone."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from hardener.attacks._gradient import Classifier
from hardener.attacks._queries import LARGEST_BATCH
from hardener.errors import HardenerError
from hardener.geometry import norm_geometry
from hardener.geometry.l2 import L2
from hardener.runtime.answers import chosen_class

_NORMS = ("linf", "l2")
_NOISES, _NEIGHBOURS, _BLENDS = 20, 20, 10
_SHORTEST_PROBE = 0.03
_TINY = 1e-12


def hopskipjump(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    queries: int = 5000,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Start at a misclassified image and come nearer along the boundary, until every image is within `eps`.

    The walk is foolbox's; all that it is told of a point is whether it is misclassified. A start is uniform noise
    or, where noise always gets the image's own label, another image of the batch; it is blended with the image as
    far as it stays misclassified.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode; it need not be differentiable.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: `linf` or `l2`: the walk goes straight towards the image, and what is nearest in l1 lies elsewhere.
        eps: radius, a fraction of the pixel range.
        queries: forward passes an image at most.
        generator: of starts and directions.
    Returns:
        (N, C, H, W), inside ball and box: the nearest misclassified image that was met, moved into the ball where it
        lies outside (it then fools no more, as a rule); the image itself where no start was found.
    Raises:
        HardenerError: a norm other than these two, or foolbox is not installed.
    Note: the directions are estimated here and not by foolbox 3.3.4, which divides them by their length over the
        whole batch (the larger the batch, the shorter its l2 steps), holds all probes of a step at once and draws
        from the global random state. Probes have at least 3 % of the perturbation's l2 length; those of the
        paper are lost in float32's rounding when there are many pixels.
    Source: Chen, Jordan, Wainwright, "HopSkipJumpAttack: A Query-Efficient Decision-Based Attack", S&P 2020.
    """
    if norm not in _NORMS:
        raise HardenerError(f"hopskipjump knows {' and '.join(_NORMS)}, not {norm}.")
    foolbox = _import_foolbox()
    ball = norm_geometry(norm)
    with torch.no_grad():
        standing = chosen_class(model(images)).eq(labels)
    view = _Decisions(model, images, labels, norm, eps, queries - 1, generator)
    try:
        view.look_at_only(standing)
        _find_starts(view)
        view.look_at_only(view.shortest.isfinite())
        _walk(foolbox, view, norm)
    except _EnoughSeen:
        pass
    return images + ball.project_in_box(images, view.nearest() - images, eps)


class _EnoughSeen(Exception):
    """The queries are used up, or every image is within eps."""


class _Decisions:
    """A model that says misclassified or not, so many times, and the nearest misclassified image that it was shown.

    Attributes:
        images, labels: of the images that are looked at, n of them.
        shortest: (n,), the distance of the nearest misclassified image; infinite before there is one.
        left: queries an image.
    """

    def __init__(
        self,
        model: Classifier,
        images: Tensor,
        labels: Tensor,
        norm: str,
        eps: float,
        queries: int,
        generator: torch.Generator | None,
    ) -> None:
        self.images, self.labels = images, labels
        self.shortest = torch.full((len(images),), torch.inf, device=images.device, dtype=images.dtype)
        self.left = queries
        self.generator = generator
        self._model, self._eps, self._size = model, eps, norm_geometry(norm).size
        self._nearest = images.clone()
        self._places = torch.arange(len(images), device=images.device)
        self._last = torch.full_like(images, torch.nan)

    def nearest(self) -> Tensor:
        """Return the nearest misclassified image, (N, C, H, W), for all N images; the image where there is none."""
        return self._nearest

    def look_at_only(self, chosen: Tensor) -> None:
        """Forget all images but the chosen, (n,) bool."""
        self.images, self.labels, self.shortest = self.images[chosen], self.labels[chosen], self.shortest[chosen]
        self._places, self._last = self._places[chosen], self._last[chosen]
        if len(self.images) == 0:
            raise _EnoughSeen

    def ask(self, points: Tensor) -> Tensor:
        """Say which points, (r n, C, H, W), are misclassified: r for each image, in turns of n."""
        rounds = len(points) // len(self.images)
        if rounds > self.left:
            raise _EnoughSeen
        self.left -= rounds
        with torch.no_grad():
            return chosen_class(self._model(points)).ne(self.labels.repeat(rounds))

    def see(self, points: Tensor) -> Tensor:
        """Say which points, (n, C, H, W), are misclassified, and remember them.

        An answer stands: foolbox asks again about points that were misclassified and stops if they are so no more,
        as may happen with a model that answers differently twice.
        """
        met = points.eq(self.start()).flatten(1).all(dim=1) & self.shortest.isfinite()
        known = met | points.eq(self._last).flatten(1).all(dim=1)
        fooled = known if bool(known.all()) else known | self.ask(points)
        self._last[fooled] = points[fooled]
        distance = self._size(points - self.images)
        nearer = fooled & (distance < self.shortest)
        self.shortest[nearer] = distance[nearer]
        self._nearest[self._places[nearer]] = points[nearer]
        if bool((self.shortest <= self._eps).all()):
            raise _EnoughSeen
        return fooled

    def start(self) -> Tensor:
        """Return where to go on: the nearest so far, (n, C, H, W)."""
        return self._nearest[self._places]


def _find_starts(view: _Decisions) -> None:
    """Show the view noise and other images until each has a misclassified one, then blends of it with the image."""
    for attempt in range(_NOISES + min(_NEIGHBOURS, len(view.images) - 1)):
        if bool(view.shortest.isfinite().all()):
            break
        if attempt < _NOISES:
            images = view.images
            view.see(torch.rand(images.shape, generator=view.generator, device=images.device, dtype=images.dtype))
        else:
            view.see(view.images.roll(attempt - _NOISES + 1, dims=0))
    far = view.start()
    for blend in range(1, _BLENDS):
        view.see(torch.lerp(view.images, far, blend / _BLENDS).clamp(0, 1))


def _estimate_direction(view: _Decisions, points: Tensor, lengths: Tensor, count: int) -> Tensor:
    """Estimate the direction, of l2 length 1 for each image, into the misclassified side of the boundary.

    The mean over `count` random unit vectors u of (phi(x + length u) - mean phi) u, where phi is 1 for misclassified
    points and -1 for others; u is what is left of the vector inside the box.
    """
    at_once = max(1, LARGEST_BATCH // len(points))
    weighted, plain, agreed = torch.zeros_like(points), torch.zeros_like(points), points.new_zeros(len(points))
    for first in range(0, count, at_once):
        shape = (min(at_once, count - first), *points.shape)
        normal = torch.randn(shape, generator=view.generator, device=points.device, dtype=points.dtype)
        unit = L2.steepest(normal.flatten(0, 1)).view(shape)
        probes = (points + lengths * unit).clamp(0, 1)
        moved = (probes - points) / lengths
        signs = view.ask(probes.flatten(0, 1)).view(shape[:2]).to(points.dtype) * 2 - 1
        weighted += torch.einsum("gn,gnchw->nchw", signs, moved)
        plain += moved.sum(dim=0)
        agreed += signs.sum(dim=0)
    mean = (agreed / count).view(-1, 1, 1, 1)
    one_sided = mean.abs() == 1  # all probes fell on one side: their mean still points to it
    return L2.steepest(torch.where(one_sided, weighted, weighted - mean * plain))


class _TwoClasses(nn.Module):
    """What foolbox gets for a model: class 1 for misclassified points, class 0 for others."""

    def __init__(self, see: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._see = see

    def forward(self, points: Tensor) -> Tensor:
        return one_hot(self._see(points).long(), 2).float()


def _walk(foolbox: ModuleType, view: _Decisions, norm: str) -> None:
    """Let foolbox walk until enough is seen."""
    from eagerpy.astensor import astensor

    class Walk(foolbox.attacks.HopSkipJumpAttack):  # type: ignore[name-defined, misc]
        def approximate_gradients(self, is_adversarial: Any, x_advs: Any, steps: int, delta: Any) -> Any:
            points: Tensor = x_advs.raw
            probe = _SHORTEST_PROBE * L2.size(points - view.images)
            lengths = torch.maximum(delta.raw, probe).clamp_min(_TINY).view(-1, 1, 1, 1)
            return astensor(_estimate_direction(view, points, lengths, steps))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = foolbox.PyTorchModel(_TwoClasses(view.see).eval(), bounds=(0, 1), device=view.images.device)
        wanted = foolbox.Misclassification(torch.zeros_like(view.labels))
        walk = Walk(steps=max(view.left, 1), constraint=norm)
        walk.run(told, view.images, wanted, starting_points=view.start())


def _import_foolbox() -> ModuleType:
    """Import foolbox, quietly: it uses names that scipy has renamed, and git, which need not be there."""
    before = os.environ.get("GIT_PYTHON_REFRESH")
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import foolbox
    except ModuleNotFoundError as error:
        if error.name != "foolbox":
            raise
        raise HardenerError(
            "the attack hopskipjump needs foolbox, which is not installed: pip install 'hardener[decision]'"
        ) from None
    finally:
        if before is None:
            del os.environ["GIT_PYTHON_REFRESH"]
        else:
            os.environ["GIT_PYTHON_REFRESH"] = before
    found: ModuleType = foolbox
    return found
