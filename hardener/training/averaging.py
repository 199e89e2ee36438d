"""Averaged weights: which classifier is validated and kept, the trained one or the mean of what it has been."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from hardener.config.schema import Averaging
from hardener.errors import HardenerError
from hardener.methods.method import Method
from hardener.models.code.user_code import describe
from hardener.models.freeze import stays_in_eval
from hardener.models.normalize import ImageClassifier
from hardener.training.loop import Minibatch

_ENOUGH = 100  # minibatches to measure batch statistics on
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

    def measure_statistics(self, method: Method, batches: Iterable[Minibatch], *, piece: int, autocast: bool) -> None:
        """Give a plain mean of several weights the batch statistics that it has itself, of what it is trained on.

        Those of the weights that went in, averaged, are not its own: its activations vary less. An exponential average
        lies near the weights, and keeps the average of theirs.

        Args:
            method: draws and climbs around the images as in a step of training; it keeps nothing of that.
            batches: of training; a hundred are enough.
            piece: images at once at most.
            autocast: in bfloat16, as training does.
        Source: Izmailov et al. (see `_averaged`), section 3.2.
        """
        if self._asked is None or self._asked.name != "swa" or self.model is None or int(self.model.n_averaged) < 2:
            return
        judged = self.judged
        with method.forgetting(), _cumulative(judged) as norms:
            judged.train()
            for batch in islice(batches, _ENOUGH if norms else 0):
                with torch.autocast(batch.images.device.type, dtype=torch.bfloat16, enabled=autocast):
                    for images, labels in zip(batch.images.split(piece), batch.labels.split(piece), strict=True):
                        method.loss(judged, images, labels)
                        method.after_backward()

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


@contextmanager
def _cumulative(model: nn.Module) -> Iterator[list[_BatchNorm]]:
    """Let batch norms that learn statistics take the mean of all passes inside, and nothing of before; yield them."""
    learning = [part for part in model.modules() if isinstance(part, _BatchNorm) and not stays_in_eval(part)]
    found = [norm for norm in learning if norm.num_batches_tracked is not None]
    momenta = [norm.momentum for norm in found]
    for norm in found:
        norm.momentum = None
        norm.reset_running_stats()
    try:
        yield found
    finally:
        for norm, momentum in zip(found, momenta, strict=True):
            norm.momentum = momentum


def _averaged(asked: Averaging, classifier: nn.Module) -> AveragedModel:
    """Return a copy of the classifier that averages its weights and batch statistics.

    An exponential average warms up: after n steps it decays by no more than (1 + n) / (10 + n), or a run shorter than
    the average's memory would be judged by the weights that it began with.

    Note: batch statistics of SWA are measured then, see `measure_statistics`, unless it holds one epoch's end alone.
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
