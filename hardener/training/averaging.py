"""Averaged weights: which classifier is validated and kept, the trained one or the mean of what it has been."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hardener.config.schema import Averaging
from hardener.errors import HardenerError
from hardener.models.code.user_code import describe
from hardener.models.normalize import ImageClassifier

Tensors = tuple[Tensor, ...] | list[Tensor]


class WeightAverage:
    """A classifier and, where a recipe asks for one, its average: exponential by step, or plain by epoch (SWA).

    Attributes:
        model: what is averaged so far, or None.
    """

    def __init__(self, asked: Averaging | None, classifier: ImageClassifier) -> None:
        self._asked, self._classifier = asked, classifier
        self.model = None if asked is None else _averaged(asked, classifier)

    def after_step(self, share: float) -> None:
        """Take in the weights after a step; `share` of the run is done."""
        self._take_in("ema", share)

    def after_epoch(self, share: float) -> None:
        """Take in the weights at the end of an epoch; `share` of the run is done."""
        self._take_in("swa", share)

    @property
    def judged(self) -> ImageClassifier:
        """What is validated and kept: the averaged classifier, once the average has begun."""
        if self.model is None or int(self.model.n_averaged) == 0:
            return self._classifier
        averaged = self.model.module
        assert isinstance(averaged, ImageClassifier), "it was copied from one"
        return averaged

    def _take_in(self, name: str, share: float) -> None:
        asked = self._asked
        if self.model is not None and asked is not None and asked.name == name and share >= asked.begins:
            self.model.update_parameters(self._classifier)


def _averaged(asked: Averaging, classifier: nn.Module) -> AveragedModel:
    """Return a copy of the classifier that averages its weights and batch statistics.

    An exponential average warms up: after n steps it decays by no more than (1 + n) / (10 + n), or a run shorter than
    the average's memory would be judged by the weights that it began with.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018, for SWA and
        its start after three quarters; TensorFlow's `ExponentialMovingAverage` (`num_updates`) for the warm-up.
    """
    decay = asked.decay if asked.name == "ema" else None

    @torch.no_grad()
    def move(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        if not averaged[0].is_floating_point():  # counters
            torch._foreach_copy_(averaged, current)
            return
        done = int(count)
        weight = 1 / (done + 1) if decay is None else max(1 - decay, 9 / (10 + done))
        torch._foreach_lerp_(averaged, current, weight)

    try:
        average = AveragedModel(classifier, multi_avg_fn=move, use_buffers=True)
    except Exception as error:  # the user's own objects: copying them may raise anything
        raise HardenerError(
            f"averaging needs a copy of the network, which cannot be made: {describe(error)} Train without an average: "
            "--set averaging=null."
        ) from error
    average.requires_grad_(False)
    return average
