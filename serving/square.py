"""Square: random search for an adversarial image by scores alone, among images of whole 8-bit values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from hardener.config.answer import AttackProbe
from hardener.config.bundle import ServedThreat

from .timed_model import Logits, Pixels, TimedModel

Steps = NDArray[np.int16]
Values = NDArray[np.float64]
Window = tuple[slice, slice]

_HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_OF_QUERIES = 10_000
_REDRAWN = 20
_EVERYWHERE = (slice(None), slice(None))
_LARGEST_SCALE = 2.0
_HALVINGS = 8
_SHORTENED = 0.999
_ROUNDING = 1e-6  # of eps, which comes as a float: 8/255 is 8 steps


@dataclass(frozen=True)
class Schedule:
    """How large the squares of each query are.

    Attributes:
        share: of the image, in (0, 1], that the first squares cover.
        queries: over which the published halvings of that share are spread, which were chosen for 10,000; >= 1.
    """

    share: float = 0.8
    queries: int = _OF_QUERIES

    @classmethod
    def within(cls, queries: int, norm: Literal["linf", "l2"]) -> Self:
        """Return the schedule of a search that may make so many queries.

        In linf the halvings are spread over four times as many, so that a short search comes to small squares; measured
        by bench/square_schedule.py. In l2 that gained nothing.
        """
        return cls(queries=min(4 * queries, _OF_QUERIES) if norm == "linf" else _OF_QUERIES)

    def side(self, query: int, height: int, width: int) -> int:
        """Return the side of the squares of a query, in pixels."""
        place = query * _OF_QUERIES / self.queries
        share = self.share / 2 ** sum(place > end for end in _HALVED_AFTER)
        return int(min(max(round(math.sqrt(share * height * width)), 1), height, width))


class SquareSearch:
    """One search around one image: `propose` images, have the model score them, let it `learn`, and so on.

    Pixels are whole numbers, so the ball is counted in 8-bit steps: every proposal is a uint8 image whose distance
    from the clean one, in whole numbers, is at most eps. In l2 a changed square is scaled until its rounded values have
    the energy that is free for it.

    Args:
        image: (H, W, C), the clean one.
        predicted: index of the class to be left.
        norm: `linf` or `l2`.
        eps: radius, a fraction of the pixel range.
        generator: of all draws.
        schedule: of the squares' sizes.
    Note: the paper's search is sequential: one proposal, kept where it lowers the margin. Here the proposals of a round
        all start from the same point, and the best of them is kept where it lowers the margin, so that a batch can be
        filled. With one proposal a round it is the paper's search; with n, a budget of queries makes n times fewer
        rounds, of better steps. Each proposal counts as a query, and sets the size of its square by its number.
    Source: Andriushchenko, Croce, Flammarion, Hein, "Square Attack: a Query-efficient Black-box Adversarial Attack via
        Random Search", ECCV 2020, Algorithms 1 to 3.
    """

    def __init__(
        self,
        image: Pixels,
        predicted: int,
        *,
        norm: Literal["linf", "l2"],
        eps: float,
        generator: np.random.Generator,
        schedule: Schedule,
    ) -> None:
        self.queries = 0
        self.lowest_margin = math.inf
        self.adversarial: Pixels | None = None
        self.answer: int | None = None
        self._linf = norm == "linf"
        self._image = image
        self._clean = image.astype(np.int16)
        self._predicted = predicted
        self._random = generator
        self._schedule = schedule
        self._radius = math.floor(eps * 255 + _ROUNDING)
        self._energy = math.floor((eps * 255) ** 2 + _ROUNDING)
        self._point: Pixels | None = None
        self._spent = 0  # of the energy, by the point
        self._asked: Pixels = image[None]

    @property
    def steps(self) -> int:
        """The largest change of one value, in 8-bit steps; 0: the ball holds the clean image alone."""
        return self._radius

    def propose(self, count: int) -> Pixels:
        """Return the next images to ask about, (`count`, H, W, C)."""
        self._asked = np.stack([self._propose(self.queries + place) for place in range(count)])
        return self._asked

    def learn(self, logits: Logits) -> None:
        """Take the answers to the first images that `propose` returned.

        Args:
            logits: (n, K), n >= 1.
        """
        others = np.delete(logits, self._predicted, axis=1)
        margins = logits[:, self._predicted] - others.max(axis=1)
        answers = logits.argmax(axis=1)
        left = np.flatnonzero(answers != self._predicted)
        best = int(left[0]) if len(left) else int(margins.argmin())
        if len(left):
            self.adversarial, self.answer = self._asked[best], int(answers[best])
        if self._point is None or margins[best] < self.lowest_margin:
            self._point = self._asked[best]
            self._spent = 0 if self._linf else int(_energy(self._change(self._point, _EVERYWHERE)).sum())
        self.queries += len(logits)
        self.lowest_margin = min(self.lowest_margin, float(margins.min()))

    def _propose(self, query: int) -> Pixels:
        if self._point is None:
            return self._stripes() if self._linf else self._pyramids()
        change = self._flip_square if self._linf else self._move_energy
        for _ in range(_REDRAWN):
            proposal = change(self._point, self._schedule.side(query, *self._image.shape[:2]))
            if not np.array_equal(proposal, self._point):  # else the answer is known
                break
        return proposal

    def _signs(self, *shape: int) -> Steps:
        return 2 * self._random.integers(0, 2, shape, dtype=np.int16) - np.int16(1)

    def _window(self, side: int) -> Window:
        height, width, _ = self._image.shape
        row = int(self._random.integers(0, height - side + 1))
        column = int(self._random.integers(0, width - side + 1))
        return slice(row, row + side), slice(column, column + side)

    def _changed(self, window: Window, delta: Steps) -> Pixels:
        """A window of the clean image, changed and kept in the box."""
        changed: Pixels = np.clip(self._clean[window] + delta, 0, 255).astype(np.uint8)
        return changed

    def _change(self, point: Pixels, window: Window) -> Values:
        """What a point has changed in a window, (C, pixels)."""
        return _by_channel(point[window] - self._clean[window])

    def _stripes(self) -> Pixels:
        """Algorithm 2's start: vertical stripes a pixel wide, each channel + eps or - eps."""
        _, width, channels = self._image.shape
        return self._changed(_EVERYWHERE, np.int16(self._radius) * self._signs(1, width, channels))

    def _flip_square(self, point: Pixels, side: int) -> Pixels:
        """Algorithm 2: a square gets + eps or - eps in each channel."""
        window = self._window(side)
        proposal = point.copy()
        proposal[window] = self._changed(window, np.int16(self._radius) * self._signs(1, 1, point.shape[2]))
        return proposal

    def _pyramids(self) -> Pixels:
        """Algorithm 3's start: tiles of two pyramids, a fifth of the image wide, each channel's up or down."""
        height, width, channels = self._image.shape
        side = max(min(height, width) // 5, 1)
        down, across = -(-height // side), -(-width // side)
        signs = self._signs(down, across, channels).repeat(side, axis=0).repeat(side, axis=1)
        tiled = np.tile(_two_pyramids(side), (down, across))[:, :, None] * signs
        tiled = tiled[:height, :width].reshape(1, -1)
        wanted = tiled * np.sqrt(self._energy / _energy(tiled))
        delta = _whole(wanted, np.array([self._energy])).reshape(self._image.shape)
        return self._changed(_EVERYWHERE, delta)

    def _move_energy(self, point: Pixels, side: int) -> Pixels:
        """Algorithm 3: a square gets two pyramids, of the energy in it, in another square, and unused."""
        height, width, channels = point.shape
        side = min(max(side, 3) | 1, height, width)  # odd, so that the pyramids have a middle
        first, second = self._window(side), self._window(side)
        proposal = point.copy()
        held = self._change(proposal, first)
        proposal[first] = self._image[first]
        freed = _energy(held) + _energy(self._change(proposal, second))
        proposal[second] = self._image[second]
        available = freed + (self._energy - self._spent) / channels
        shape = _two_pyramids(side)
        shape = shape.T if self._random.integers(2) else shape
        mixed = shape.reshape(1, -1) * self._signs(channels, 1)
        mixed += held / np.sqrt(np.maximum(_energy(held), 1))[:, None]
        wanted = mixed * np.sqrt(available / np.maximum(_energy(mixed), 1e-12))[:, None]
        delta = _whole(wanted, available).reshape(channels, side, side).transpose(1, 2, 0)
        proposal[first] = self._changed(first, delta)
        return proposal


async def attack_with_square(
    image: Pixels,
    predicted: int,
    margin: float,
    classes: list[str],
    threat: ServedThreat | None,
    model: TimedModel,
    generator: np.random.Generator,
    *,
    queries: int,
) -> tuple[AttackProbe, Pixels | None]:
    """Search until an adversarial image is found, the queries are made, or the time runs out.

    An image counts as found when the model, asked about that very uint8 image, answers with another class.

    Args:
        image: (H, W, C), the model's input.
        predicted, margin: the model's answer to it, and that logit minus the best other.
        threat: None: the bundle names none, and nothing is run.
        queries: most images to ask about, >= 1. A round asks about `model.chunk` of them.
    Returns:
        What a report says of it; and the image found, (H, W, C), or None.
    """
    if threat is None:
        return _not_run(margin, queries), None
    norm, eps, schedule = threat.norm, threat.eps, Schedule.within(queries, threat.norm)
    search = SquareSearch(image, predicted, norm=norm, eps=eps, generator=generator, schedule=schedule)
    out_of_time = False
    while search.steps and search.adversarial is None and search.queries < queries:
        count = min(model.chunk, queries - search.queries)
        logits = await model.ask([partial(search.propose, count)])
        if logits is None:
            out_of_time = True
            break
        search.learn(logits)
    found = search.adversarial is not None
    probe = AttackProbe(
        norm=norm,
        eps=eps,
        queries=search.queries,
        queries_allowed=queries,
        found=found,
        label=None if search.answer is None else classes[search.answer],
        lowest_margin=min(margin, search.lowest_margin),
        statement=f"{'' if found else 'no '}adversarial image found in {search.queries} queries",
        meaning=_meaning(threat, search, out_of_time=out_of_time),
    )
    return probe, search.adversarial


def _not_run(margin: float, queries: int) -> AttackProbe:
    return AttackProbe(
        norm=None,
        eps=None,
        queries=0,
        queries_allowed=queries,
        found=None,
        label=None,
        lowest_margin=margin,
        statement="not run",
        meaning="Not run: the bundle names no norm and eps to attack with. Export it again to have them.",
    )


def _meaning(threat: ServedThreat, search: SquareSearch, *, out_of_time: bool) -> str:
    if search.steps == 0:
        return "Not run: eps is less than one 8-bit step, so no other image lies within it."
    if search.adversarial is not None:
        first = (
            "An image of whole 8-bit values within eps of this one was found that the model gives another answer to: "
            "this answer is not robust at this eps. A smaller change may do it too."
        )
    else:
        first = (
            "This proves nothing: a longer search, or an attack that sees the model's gradients, may find an "
            "adversarial image within the same eps."
        )
    largest = f"at most {search.steps} of 255 steps a value" if threat.norm == "linf" else "over all values together"
    sentences = [first, f"The change is to the model's input, {largest}, after decoding and scaling."]
    if out_of_time:
        sentences.append("The report's time ran out before all queries were made.")
    return " ".join(sentences)


def _by_channel(part: Steps) -> Values:
    """(H, W, C) -> (C, H * W), so that sums over a channel run along memory."""
    values: Values = part.transpose(2, 0, 1).reshape(part.shape[2], -1).astype(np.float64)
    return values


def _energy(values: Values) -> Values:
    """Sum of squares of each row of (G, N); exact for whole numbers."""
    energy: Values = np.einsum("gn,gn->g", values, values)
    return energy


def _whole(values: Values, energy: Values) -> Steps:
    """Round a multiple of each row, the largest up to twice, whose sum of squares is at most its `energy`.

    Rounding the values as they are would exceed it, or lose most of it where they are less than half a step.

    Args:
        values: (G, N). energy: (G,), >= 0.
    """
    low, high = np.zeros(len(values)), np.full(len(values), _LARGEST_SCALE)
    small = values.astype(np.float32)  # fast, and exact until its sums exceed 2^24: the last word is below
    rounded = np.empty_like(small)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        np.multiply(small, middle[:, None].astype(np.float32), out=rounded)
        np.rint(rounded, out=rounded)
        fits = np.einsum("gn,gn->g", rounded, rounded) <= energy
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    while True:
        whole = np.rint(values * low[:, None])
        too_long = _energy(whole) > energy
        if not too_long.any():
            return whole.astype(np.int16)
        low = np.where(too_long, low * _SHORTENED, low)


def _pyramid(height: int, width: int) -> Values:
    """Algorithm 3's eta: nested rectangles around the middle, each lower the wider it is, (height, width)."""
    middle = height // 2, width // 2
    rows = np.abs(np.arange(height) - middle[0])[:, None]
    columns = np.abs(np.arange(width) - middle[1])[None, :]
    heights = np.cumsum(1 / np.arange(1, max(middle) + 2)[::-1] ** 2)[::-1]
    pyramid: Values = heights[np.maximum(rows, columns)]
    return pyramid


@lru_cache(maxsize=8)
def _two_pyramids(side: int) -> Values:
    """A positive pyramid beside a negative one, of length 1 together, (side, side)."""
    half = side // 2
    shape = np.concatenate([_pyramid(half, side), -_pyramid(side - half, side)])
    length: float = np.sqrt(np.square(shape).sum())
    shape /= length
    return shape
