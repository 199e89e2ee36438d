"""A copy of the model that answers faster, for attacks that ask for nothing but answers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.evaluation.precision import seconds_of
from hardener.evaluation.robust_accuracy import AttackPlan, same_answers
from hardener.evaluation.suite import most_queries

GAIN = 0.9
"""Of the time of the model's own pass, what the copy's may take at most to be used."""
WORTH_S = 30.0
"""Seconds of the model's passes that a batch may take, below which no copy is made: making one takes some seconds."""
_ROUNDS = 3


class FasterAnswers:
    """Chooses what attacks by scores ask on a CPU: the model, or a copy of it in ONNX Runtime.

    The copy is made when it is first worth it, and used where it answers these images as the model does, in less time.
    Convolutions of float32 are much of what such attacks cost, and ONNX Runtime's, fused with what follows them, take
    a fifth less time on small residual networks; rounding aside they are the same sums.

    Attributes:
        used: attacks that asked the copy.
        copied: whether the copy is used; None as long as nothing was worth one.
    """

    def __init__(self, model: nn.Module, say: Callable[[str], None], *, copied: bool | None = None) -> None:
        """Choose for one model, and say when a copy is used.

        Args:
            copied: as it was decided in an evaluation that now goes on: the same result, whatever the clock says.
        """
        self._model, self._say = model, say
        self._copy: nn.Module | None = None
        self.copied = copied
        self.used: set[str] = set()

    def __call__(self, plan: AttackPlan, images: Tensor) -> nn.Module:
        """Return what an attack is to ask about images (N, C, H, W) in [0, 1]."""
        if "gradient-free" not in plan.entry.families or images.device.type != "cpu":
            return self._model
        if self._copy is None:
            with torch.random.fork_rng([]):  # how often a random model is asked must not change a result
                own = _seconds(self._model, images)
                if self.copied is None and own * most_queries(plan) < WORTH_S:
                    return self._model
                self._copy = self._model if self.copied is False else self._make(images)
            self.copied = self._copy is not self._model
        if self._copy is not self._model:
            self.used.add(plan.name)
        return self._copy

    def _make(self, images: Tensor) -> nn.Module:
        """Return a copy, or the model itself where a copy does not pay."""
        if not same_answers(self._model, self._model, images):  # a random model
            return self._model
        try:
            copy = onnx_copy(self._model, images)
            if not same_answers(self._model, copy, images):
                return self._model
            timed = [(_seconds(self._model, images), _seconds(copy, images)) for _ in range(_ROUNDS)]
        except (HardenerError, RuntimeError, OSError):  # what ONNX cannot express, or a full disk cannot hold
            return self._model
        own, other = (min(column) / len(images) for column in zip(*timed, strict=True))
        if self.copied is None and other > GAIN * own:
            return self._model
        self._say(
            f"attacks by scores ask a copy of the model in ONNX Runtime, {1000 * other:.3g} ms an image instead of "
            f"{1000 * own:.3g}; what they find is checked on the model itself (--precision float32 for no copy)"
        )
        return copy


def onnx_copy(model: nn.Module, images: Tensor) -> nn.Module:
    """Return a model's copy in ONNX Runtime, for float images of the size of these, (N, C, H, W), in any number.

    Raises:
        HardenerError: ONNX cannot express the model.
    """
    from hardener.models.onnx.model import open_onnx  # a second of imports that most evaluations do without
    from hardener.models.onnx.program import onnx_program

    program = onnx_program(_Named(model), images[:1].repeat(2, 1, 1, 1), outputs=["logits"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.onnx"
        path.write_bytes(program.SerializeToString())
        return open_onnx(path, on_gpu=False)


class _Named(nn.Module):
    """A model whose input is called `images`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits.float()


@torch.no_grad()
def _seconds(model: nn.Module, images: Tensor) -> float:
    return seconds_of(partial(model, images))
