"""What was asked for -> what the measures find, each on as many images as its cost allows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardener.measures import measures_asked
from hardener.progress import Reporter, Silent
from hardener.runtime.model_state import device_of
from hardener.threat import Threat, ThreatModel


@dataclass(frozen=True)
class LentAttack:
    """An attack that the evaluation lends to a measure.

    Attributes:
        standing: images (n, C, H, W), their labels (n,) int64, an eps, and a generator on the model's device -> which
            images the model still gets right, (n,) bool, after the attack went at those that it gets right untouched.
    """

    name: str
    standing: Callable[[Tensor, Tensor, float, torch.Generator | None], Tensor]


LentSweep = Callable[
    [Tensor, Tensor, float, Tensor | None, torch.Generator | None],
    tuple[Tensor, Tensor, Tensor],
]
"""An attack for one eps after another: images (n, C, H, W) that the model gets right, their labels (n,) int64, an eps,
images to start from or None, and a generator on the model's device -> which stand, (n,) bool; an image (n, C, H, W)
inside the ball that fools the model where one does not; how far that one is, (n,)."""


@dataclass(frozen=True)
class Case:
    """What a measure is given.

    Attributes:
        model: (N, C, H, W) in [0, 1] -> logits (N, K), in eval mode; a measure leaves it as it found it.
        pixels, labels: the images to measure on, (N, C, H, W), float in [0, 1] or uint8, and (N,) int64.
        paths: of the images, as the report names them.
        classes: names of the classes, K.
        clean_correct: (N,) bool, which of them the model gets right.
        threat: of the evaluation.
        attacks: that climb the model's gradients, or search where there are none; none where a sweep is to do.
        distance: (N,), how far at most each image is from one that the model gets wrong: 0 where it is wrong itself,
            inf where the evaluation found none. None: all that are right are to be attacked.
        sweep: an attack that goes from one eps to the next; None where the model has no gradients.
        differentiable: whether the model has gradients, its own or lent ones.
        noise_sigma: std of the noise of training, or a default, in [0, 1] pixels.
        noise_is_default: training had none, or it is not known.
        radii: to certify at, ascending, l2; none where that is left to the measure.
        batch_size: images at once.
        seed: of whatever is drawn, so that two models are measured alike.
        reporter: shows how far a measure is.
    """

    model: nn.Module
    pixels: Tensor
    labels: Tensor
    paths: tuple[str, ...]
    clean_correct: Tensor
    threat: Threat
    attacks: tuple[LentAttack, ...] = ()
    distance: Tensor | None = None
    sweep: LentSweep | None = None
    classes: tuple[str, ...] = ()
    differentiable: bool = True
    noise_sigma: float = 0.1
    noise_is_default: bool = False
    radii: tuple[float, ...] = ()
    batch_size: int = 128
    seed: int = 0
    reporter: Reporter = field(default_factory=Silent)

    @property
    def ball(self) -> ThreatModel:
        """The evaluation's ball; measures whose entry says `ball` are asked for under one alone."""
        assert isinstance(self.threat, ThreatModel), "the plan was checked"
        return self.threat

    def generator(self) -> torch.Generator:
        """Return a generator on the model's device, the same at every call."""
        return torch.Generator(device_of(self.model)).manual_seed(self.seed)

    def of(self, chosen: Tensor) -> Case:
        """Return the case with some of its images, (n,) int64."""
        return replace(
            self,
            pixels=self.pixels[chosen],
            labels=self.labels[chosen],
            paths=tuple(self.paths[place] for place in chosen.tolist()),
            clean_correct=self.clean_correct[chosen],
            distance=None if self.distance is None else self.distance[chosen],
        )


@dataclass(frozen=True)
class Found:
    """What a measure returns.

    Attributes:
        record: for its field of the record, or a `Measured`; None where there is nothing to say.
        values: (n,), a value for each image of the case, nan where it has none.
    """

    record: Any
    values: Tensor | None = None


def measure(case: Case, asked: Collection[str]) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """Measure what was asked for, and what always is.

    Each measure takes images drawn by the seed, the same for every model that is evaluated on these images.

    Args:
        case: with all images of the evaluation.
        asked: names of measures, or words of their options.
    Returns:
        Fields of the evaluation's record, and arrays with a value an image (nan where it was not measured).
    Raises:
        HardenerError: a word asks for no measure, or a measure needs a package that is not installed.
    """
    order = torch.randperm(len(case.pixels), generator=torch.Generator().manual_seed(case.seed))
    fields: dict[str, Any] = {}
    measured: dict[str, Any] = {}
    arrays: dict[str, NDArray[np.float64]] = {}
    for name, entry in measures_asked(asked).items():
        if entry.gradients and not case.differentiable:
            case.reporter.say(f"{name} is not measured: it needs gradients")
            continue
        some = entry.most_images is not None and entry.most_images < len(order)
        chosen = order[: entry.most_images].sort().values if some else torch.arange(len(order))
        found: Found = entry.load()(case.of(chosen) if some else case)
        if found.values is not None:
            whole = np.full(len(order), np.nan)
            whole[chosen.numpy()] = found.values.double().cpu().numpy()
            arrays[entry.values or name] = whole
        if found.record is None:
            continue
        if entry.field is None:
            measured[name] = found.record
        else:
            fields[entry.field] = found.record
    return fields | ({"measured": measured} if measured else {}), arrays
