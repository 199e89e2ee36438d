"""CLEVER: an estimate, free of any attack, of how far the nearest image with another class is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardener.config.evaluation_record import Clever
from hardener.errors import HardenerError
from hardener.geometry import NORMS, fit_box, norm_geometry
from hardener.measures._common import batches
from hardener.measures.run import Case, Found
from hardener.runtime.answers import chosen_class
from hardener.runtime.gradient import gradient_of
from hardener.runtime.model_state import measuring

_PILOT = 32
_SHAPES = (1.0, 100.0)
_HALVINGS = 25
_ENDS = np.geomspace(1e-4, 2.0, 100)
"""Of a row's range, above its largest value."""


def measure(case: Case) -> Found:
    """Score the images in the norm of the evaluation; the values are the scores."""
    with case.reporter.track("CLEVER scores", len(case.pixels), "images") as done:
        record, scores = measure_clever(
            case.model, case.pixels, case.labels, norm=case.ball.norm,
            batch_size=case.batch_size, generator=case.generator(), on_done=done,
        )  # fmt: skip
    return Found(record, scores)


@dataclass(frozen=True)
class Search:
    """How far around an image, and how closely, gradients are looked at.

    Attributes:
        radius: of the ball that is drawn from, > 0; no score exceeds it. By default 0.1 in `linf` and 2 in `l2`, a few
            times the eps that are usual there.
        batches_per_image, draws_per_batch: N_b and N_s of the paper, which has 500 and 1024; at least 2 and 1.
        targets: at most so many other classes, those with the smallest margins at the image.
        slack: >= 1; infinite to follow every target to the end.
    Raises:
        ValueError: a setting lies outside its range.
    """

    radius: float | None = None
    batches_per_image: int = 50
    draws_per_batch: int = 20
    targets: int = 10
    slack: float = 1.5

    def __post_init__(self) -> None:
        least = min(self.batches_per_image / 2, self.draws_per_batch, self.targets, self.slack)
        if least < 1 or (self.radius is not None and self.radius <= 0):
            raise ValueError(
                "need radius > 0, batches_per_image >= 2, draws_per_batch, targets and slack >= 1; "
                f"got {self.radius}, {self.batches_per_image}, {self.draws_per_batch}, {self.targets}, {self.slack}"
            )


_USUAL = Search()


def measure_clever(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    search: Search = _USUAL,
    *,
    norm: str,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
    on_done: Callable[[int], None] | None = None,
) -> tuple[Clever | None, Tensor]:
    """Estimate each image's distance to the nearest other class from gradients at random points around it.

    Inside the ball, a class's margin cannot fall faster than the largest norm its gradient takes there. That norm is
    the end of the law that the largest of many draws follows; it is estimated from `batches_per_image` such maxima.
    An estimate, not a bound: a model that hides its gradients gets a high score.

    Points are drawn uniformly in the ball and clipped to the box [0, 1], where an attacker has to stay as well.
    A first few points rule out targets that cannot be the nearest: those whose score, estimated from them alone, is
    more than `slack` times the smallest, or than `slack` times `radius`. All targets of an image share its points and
    their forward pass.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K); put into eval mode meanwhile.
        images: (N, C, H, W), float in [0, 1] or uint8.
        labels: (N,) int64.
        norm: the attacker's, a name in NORMS. Gradients are measured in the dual one.
        batch_size: points at once.
        generator: of the points, on the model's device.
        on_done: called with a number of images as they are dealt with; N in all.
    Returns:
        The record, None where no image could be scored, and the scores, (N,) float64: the least over the targets.
        nan where the model is wrong already or a gradient is not finite; both are left out of the record.
    Raises:
        HardenerError: there are no images.
    Source: Weng et al., "Evaluating the Robustness of Neural Networks: An Extreme Value Theory Approach", ICLR 2018,
        Algorithms 1 and 2.
    """
    if len(images) == 0:
        raise HardenerError("there are no images to evaluate.")
    norms = _Norms(model, norm, search.radius or NORMS[norm].clever_radius, batch_size, generator)
    found = []
    with measuring(model) as device:
        for clean, truth in batches(images, labels, batch_size, device):
            found.append(_scored(norms, clean, truth, search))
            if on_done is not None:
                on_done(len(clean))
    scores = torch.cat(found)
    return _record(norms, search, scores[scores.isfinite()]), scores


def _record(norms: _Norms, search: Search, scored: Tensor) -> Clever | None:
    if len(scored) == 0:
        return None
    low, middle, high = torch.quantile(scored, scored.new_tensor([0.25, 0.5, 0.75])).tolist()
    return Clever(
        samples=len(scored),
        norm=norms.norm,
        batches=search.batches_per_image,
        batch_size=search.draws_per_batch,
        radius=norms.radius,
        mean=float(scored.mean()),
        quartiles=(low, middle, high),
    )


def _scored(norms: _Norms, clean: Tensor, truth: Tensor, search: Search) -> Tensor:
    """Return a batch's scores, (N,) float64; images with equally many targets left are looked at together."""
    scores = torch.full((len(clean),), torch.nan, dtype=torch.float64)
    places, margins, classes = _ranked_targets(norms.model, clean, truth, search.targets)
    kept = _promising(norms, clean, truth, places, margins, classes, search.slack)
    for count in sorted({len(row) for row in kept}):
        group = [row for row, own in enumerate(kept) if len(own) == count]
        own = torch.tensor([kept[row] for row in group], device=clean.device)
        rows = torch.tensor(group, device=clean.device)
        at = places[rows]
        others = classes[rows].gather(1, own)
        largest = norms.largest(clean[at], truth[at], others, search.batches_per_image, search.draws_per_batch)
        scores[at.cpu()] = _scores(margins[rows].gather(1, own).cpu(), largest.cpu(), norms.radius)
    return scores


def upper_ends(maxima: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the upper ends of the laws that rows of maxima are drawn from, by maximum likelihood.

    The law of the largest of many draws with an upper end is the reverse Weibull law: with g = (location - x) / scale,
    its density is shape / scale * g^(shape - 1) * exp(-g^shape). The location is the end. Given it, the best scale is
    closed and the best shape the root of a rising function, so only the location is searched, on a grid.

    Args:
        maxima: (rows, n), n >= 2, finite, >= 0.
    Returns:
        (rows,), above the row's largest value unless the row is equal to within float32: then that value.
    Note: without bounds the likelihood has no maximum: it grows without limit as the location comes down to the
        largest value with a shape below 1. So the shape stays in [1, 100], and the location lies 1/10,000 to twice
        the row's range above its largest value; the far end is taken where the law has no finite one.
    Source: Weng et al., ICLR 2018; in the submitted version section 4.2 (Lemma 4.2, Fisher-Tippett-Gnedenko) and
        Algorithm 1.
    """
    ends: NDArray[np.float64] = maxima.max(axis=1)
    spread = ends - maxima.min(axis=1)
    wide = spread > 1e-5 * ends
    ends[wide] += spread[wide] * _likeliest_end((ends[wide, None] - maxima[wide]) / spread[wide, None])
    return ends


def _likeliest_end(below: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, n), how far values lie below the largest, in units of their range -> how far the end lies above it."""
    logs = np.log(below[:, None, :] + _ENDS[:, None])
    least, most = np.full(logs.shape[:2], _SHAPES[0]), np.full(logs.shape[:2], _SHAPES[1])
    for _ in range(_HALVINGS):
        shape = np.sqrt(least * most)
        powers = np.exp(shape[..., None] * logs)
        slope = (powers * logs).sum(axis=2) / powers.sum(axis=2) - 1 / shape - logs.mean(axis=2)
        least, most = np.where(slope > 0, least, shape), np.where(slope > 0, shape, most)
    shape = np.sqrt(least * most)
    scale = np.log(np.exp(shape[..., None] * logs).mean(axis=2))  # shape times the logarithm of the scale
    likelihood = np.log(shape) - scale + (shape - 1) * logs.mean(axis=2)
    found: NDArray[np.float64] = _ENDS[likelihood.argmax(axis=1)]
    return found


class _Norms:
    """Gradient norms at random points around images, streamed in batches over images and points."""

    def __init__(
        self, model: nn.Module, norm: str, radius: float, batch_size: int, generator: torch.Generator | None
    ) -> None:
        self.model, self.norm, self.radius = model, norm, radius
        self.batch_size, self.generator = batch_size, generator

    def largest(self, clean: Tensor, truth: Tensor, classes: Tensor, repeats: int, draws: int) -> Tensor:
        """Return the largest norm of each margin's gradient over `draws` points, `repeats` times over.

        Args:
            clean: (n, C, H, W); truth: (n,); classes: (n, T), the other classes of each image.
        Returns:
            (n, repeats, T).
        """
        ball = norm_geometry(self.norm)
        found = torch.zeros(len(clean) * repeats, classes.shape[1], device=clean.device)
        for block in torch.arange(len(found) * draws, device=clean.device).split(self.batch_size):
            place = block // draws
            image = place // repeats
            points = clean[image]
            delta = fit_box(points, ball.random_point(points, self.radius, self.generator))
            norms = self._at(points + delta, truth[image], classes[image])
            found.scatter_reduce_(0, place.unsqueeze(1).expand_as(norms), norms, "amax")
        return found.view(len(clean), repeats, -1)

    def _at(self, points: Tensor, truth: Tensor, classes: Tensor) -> Tensor:
        inputs = points.detach().requires_grad_()
        with torch.enable_grad():
            margins = _margins(self.model(inputs), truth, classes).unbind(dim=1)
        last = len(margins) - 1
        return torch.stack(
            [
                gradient_of(margin, inputs, keep_graph=place < last).flatten(1).norm(NORMS[self.norm].dual_order, dim=1)
                for place, margin in enumerate(margins)
            ],
            dim=1,
        )


def _margins(logits: Tensor, truth: Tensor, classes: Tensor) -> Tensor:
    logits = logits.float()
    return logits.gather(1, truth.unsqueeze(1)) - logits.gather(1, classes)


@torch.no_grad()
def _ranked_targets(model: nn.Module, clean: Tensor, truth: Tensor, targets: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the places of the images that are right, their smallest margins, and those margins' classes, (n, T)."""
    logits = model(clean).float()
    places = chosen_class(logits).eq(truth).nonzero().squeeze(1)
    logits, truth = logits[places], truth[places]
    others = logits.scatter(1, truth.unsqueeze(1), -math.inf)
    classes = others.topk(min(targets, logits.shape[1] - 1), dim=1).indices
    return places, _margins(logits, truth, classes), classes


def _promising(
    norms: _Norms,
    clean: Tensor,
    truth: Tensor,
    places: Tensor,
    margins: Tensor,
    classes: Tensor,
    slack: float,
) -> list[list[int]]:
    """Return, for each image, the columns of `classes` that a few points do not rule out."""
    everything = list(range(classes.shape[1]))
    if len(places) == 0 or len(everything) == 1 or math.isinf(slack):
        return [everything for _ in places]
    pilot = margins / norms.largest(clean[places], truth[places], classes, 1, _PILOT)[:, 0]
    least = pilot.amin(dim=1, keepdim=True)
    limit = torch.maximum(least, slack * least.clamp_max(norms.radius))  # far beyond the radius all score alike
    near = ~(pilot > limit)  # what is not a number stays, to be seen later
    return [row.nonzero().squeeze(1).tolist() for row in near]


def _scores(margins: Tensor, largest: Tensor, radius: float) -> Tensor:
    """(n, T) and (n, repeats, T) -> the least score over the targets, (n,); nan where a norm is not finite."""
    found = []
    for own, maxima in zip(margins.double().numpy(), largest.double().numpy(), strict=True):
        if not np.isfinite(maxima).all():
            found.append(math.nan)
            continue
        ends = upper_ends(maxima.T)
        found.append(min(radius, *(margin / end if end > 0 else radius for margin, end in zip(own, ends, strict=True))))
    return torch.tensor(found, dtype=torch.float64)
