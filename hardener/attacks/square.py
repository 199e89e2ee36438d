"""Square: random search by scores alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from hardener.attacks._gradient import Classifier
from hardener.attacks._layout import fast_layout
from hardener.geometry import NORMS, norm_geometry
from hardener.losses.margin import margin
from hardener.runtime.answers import chosen_class

_HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_TINY = 1e-12


@torch.no_grad()
def square(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    queries: int = 5000,
    p_init: float = 0.8,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Change a random square of the image, keep the change where it lowers the margin, and go on until it falls.

    Only logits are asked for: no gradient can be hidden from it.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode.
        images: (N, C, H, W) in [0, 1].
        labels: (N,) int64, the true classes.
        norm: a name in NORMS.
        eps: radius, a fraction of the pixel range.
        queries: forward passes an image, >= 1.
        p_init: in (0, 1], the share of the pixels in the first squares.
        generator: of all draws.
    Returns:
        (N, C, H, W), inside ball and box: the point with the largest lead of a wrong class.
    Note: the paper stretches the schedule of the squares' sizes to the number of queries; this keeps its steps where
        they are for 10,000, as AutoAttack's standard suite does.
    Source: Andriushchenko, Croce, Flammarion, Hein, "Square Attack: a Query-efficient Black-box Adversarial Attack via
        Random Search", ECCV 2020, Algorithms 1 to 3; for l1 Croce and Hein, "Mind the box: l1-APGD for Sparse
        Adversarial Attacks on Image Classifiers", ICML 2021 (l1-Square).
    """
    start: Callable[..., Tensor] = _stripes
    change: Callable[..., Tensor] = _flip_square
    if not math.isinf(NORMS[norm].order):
        start, change = partial(_pyramids, norm=norm), partial(_move_energy, norm=norm)
    images = fast_layout(images)
    found = start(images, eps, generator)
    logits = model(found)
    place = (chosen_class(logits) == labels).nonzero().squeeze(1)
    clean, truth, points, lead = images[place], labels[place], found[place], margin(logits, labels)[place]
    for query in range(1, queries):
        if len(place) == 0:
            break
        proposal = change(clean, points, eps, _side(p_init, query, images), generator)
        asked = (proposal != points).flatten(1).any(dim=1)  # where nothing changed, the answer is known
        if not bool(asked.any()):
            continue
        logits = model(proposal[asked])
        new_lead, still = margin(logits, truth[asked]), chosen_class(logits) == truth[asked]
        better = torch.zeros_like(asked).masked_scatter(asked, (new_lead > lead[asked]) | ~still)
        points = torch.where(better.view(-1, 1, 1, 1), proposal, points)
        lead = torch.where(better, lead.masked_scatter(asked, new_lead), lead)
        if not bool(still.all()):
            stands = torch.ones_like(asked).masked_scatter(asked, still)
            found[place] = points
            place, clean, truth, points, lead = (rows[stands] for rows in (place, clean, truth, points, lead))
    found[place] = points
    return found


def _side(p_init: float, query: int, images: Tensor) -> int:
    """Return the side of the squares of a query, in pixels."""
    height, width = images.shape[2:]
    share = p_init / 2 ** sum(query > end for end in _HALVED_AFTER)
    return min(max(round(math.sqrt(share * height * width)), 1), height, width)


def _signs(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    drawn = torch.randint(0, 2, shape, generator=generator, device=like.device)
    return (2 * drawn - 1).to(like.dtype)


def _stripes(images: Tensor, eps: float, generator: torch.Generator | None) -> Tensor:
    """Algorithm 2's start: vertical stripes a pixel wide, each channel + eps or - eps."""
    count, channels, _, width = images.shape
    return (images + eps * _signs((count, channels, 1, width), images, generator)).clamp(0, 1)


def _flip_square(images: Tensor, points: Tensor, eps: float, side: int, generator: torch.Generator | None) -> Tensor:
    """Algorithm 2: a square gets + eps or - eps in each channel."""
    inside, _, _ = _draw_square(images, side, generator)
    changed = (images + eps * _signs((*images.shape[:2], 1, 1), images, generator)).clamp(0, 1)
    return torch.where(inside, changed, points)


def _draw_square(images: Tensor, side: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a square an image: where it is, (N, 1, H, W) bool, and every row's and column's number from its corner."""

    def offsets(size: int) -> Tensor:
        corner = torch.randint(0, size - side + 1, (len(images), 1), generator=generator, device=images.device)
        return torch.arange(size, device=images.device) - corner

    height, width = images.shape[2:]
    rows, columns = offsets(height).view(-1, 1, height, 1), offsets(width).view(-1, 1, 1, width)
    return (rows >= 0) & (rows < side) & ((columns >= 0) & (columns < side)), rows, columns


def _pyramid(height: int, width: int, order: float, like: Tensor) -> Tensor:
    """Algorithm 3's eta: nested rectangles around the middle, each lower the wider it is, (height, width).

    They fall with the square of their width in l2, with its fourth power in l1.
    """
    middle = height // 2, width // 2
    deepest = max(middle) + 1
    rows = (torch.arange(height, device=like.device) - middle[0]).abs().view(-1, 1)
    columns = (torch.arange(width, device=like.device) - middle[1]).abs().view(1, -1)
    ring = torch.maximum(rows, columns)
    steps = torch.arange(1, deepest + 1, device=like.device, dtype=like.dtype).pow(-4 / order)
    return steps.flip(0).cumsum(0).flip(0)[ring]


def _two_pyramids(side: int, order: float, like: Tensor) -> Tensor:
    """A positive pyramid beside a negative one, of size 1 together, and the transpose, (2, side, side)."""
    half = side // 2
    shape = torch.cat([_pyramid(half, side, order, like), -_pyramid(side - half, side, order, like)])
    shape = shape / shape.norm(p=order)
    return torch.stack([shape, shape.T])


def _pyramids(images: Tensor, eps: float, generator: torch.Generator | None, *, norm: str) -> Tensor:
    """Algorithm 3's start: tiles of two pyramids, a fifth of the image wide, each channel's up or down."""
    ball, order = norm_geometry(norm), NORMS[norm].order
    count, channels, height, width = images.shape
    side = max(min(height, width) // 5, 1)
    down, across = -(-height // side), -(-width // side)
    tile = _two_pyramids(side, order, images)[0].repeat(down, across)
    signs = _signs((count, channels, down, across), images, generator)
    signs = signs.repeat_interleave(side, dim=2).repeat_interleave(side, dim=3)
    tiled = (tile * signs)[:, :, :height, :width]
    if NORMS[norm].is_sparse:  # what is more than eps is cut from the pyramids' feet: their tips stay
        longer = (eps / ball.size(tiled)).clamp_min(1).view(-1, 1, 1, 1)
        return images + ball.project_in_box(images, longer * tiled, eps)
    tiled = tiled / tiled.abs().amax(dim=(1, 2, 3), keepdim=True)
    return (images + eps * (tiled / ball.size(tiled).view(-1, 1, 1, 1))).clamp(0, 1)


def _move_energy(
    images: Tensor, points: Tensor, eps: float, side: int, generator: torch.Generator | None, *, norm: str
) -> Tensor:
    """Algorithm 3: a square gets two pyramids, of the energy in it, in another square, and unused.

    Energy is the size to the power p. In l1 a channel gets what is there for all: the projection shares it out.
    """
    ball, order, sparse = norm_geometry(norm), NORMS[norm].order, NORMS[norm].is_sparse
    side = min(max(side, 3) | 1, *images.shape[2:])  # odd, so that the pyramids have a middle
    delta = points - images
    first, rows, columns = _draw_square(images, side, generator)
    second, _, _ = _draw_square(images, side, generator)
    turned = torch.randint(0, 2, (len(images), 1, 1, 1), generator=generator, device=images.device)
    shape = _two_pyramids(side, order, images)[turned, rows.clamp(0, side - 1), columns.clamp(0, side - 1)]
    shape = shape * _signs((*images.shape[:2], 1, 1), images, generator) * first

    def energy(part: Tensor) -> Tensor:
        return part.abs().pow(order).sum(dim=(2, 3), keepdim=True)

    def length(part: Tensor) -> Tensor:
        return energy(part).pow(1 / order).clamp_min(_TINY)

    unused = (eps**order - delta.abs().pow(order).sum(dim=(1, 2, 3), keepdim=True)).clamp_min(0)
    available = (energy(delta * (first | second)) + unused / images.shape[1]).pow(1 / order)
    held = delta * first
    mixed = shape + held / length(held)
    renewed = mixed / length(mixed) * (available * images.shape[1] if sparse else available)
    moved = torch.where(first, renewed, delta.masked_fill(second, 0.0))
    inside = ball.project_in_box(images, moved, eps) if sparse else ball.project(moved, eps)
    return (images + inside).clamp(0, 1)
