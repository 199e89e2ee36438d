"""Accuracies on the validation split, after each epoch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hardener.config.schema import Validation as Rule
from hardener.data.loader import LoadedImages
from hardener.evaluation.robust_accuracy import robust_accuracy
from hardener.evaluation.suite import DEFAULT
from hardener.progress import rank_and_world
from hardener.runtime.model_state import as_float
from hardener.runtime.processes import own_share, sum_of
from hardener.training.parallel import SameAnswers, share_buffers


class Validator:
    """The validation split, shared out among the processes."""

    def __init__(
        self, images: LoadedImages, rule: Rule, *, seed: int, batch_size: int, device: torch.device, sharded: bool
    ) -> None:
        """Choose the images that the quick attack is asked about.

        Args:
            sharded: each process holds but a part of the network, so that all must ask about the same image at once.
        """
        self.images, self.device = images, device
        self.samples = min(rule.samples, len(images))
        self._rule, self._seed, self._batch_size, self._sharded = rule, seed, batch_size, sharded
        self._order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[: self.samples]

    def measure(self, judged: nn.Module, epoch: int) -> tuple[float, float]:
        """Return clean accuracy on the whole split and quick robust accuracy on part of it."""
        share_buffers(judged)
        stood = (
            self._stood(SameAnswers(judged), self._order, epoch)
            if self._sharded
            else int(sum_of(torch.tensor(self._stood(judged, self._order[own_share(self.samples)], epoch))))
        )
        return self._clean(judged), stood / self.samples

    def _clean(self, judged: nn.Module) -> float:
        judged.eval()
        count = len(self.images)
        own = own_share(count)
        even = torch.zeros(math.ceil(count / rank_and_world()[1]), dtype=own.dtype)  # all processes ask equally often
        even[: len(own)] = own
        answers = []
        with torch.no_grad():
            for pixels, truth in self.images.batches(even, 256):
                answers.append(judged(as_float(pixels.to(self.device))).argmax(dim=1).cpu() == truth)
        return int(sum_of(torch.cat(answers)[: len(own)].sum())) / count

    def _stood(self, model: nn.Module, places: Tensor, epoch: int) -> int:
        """Return how many of the images at these places the quick attack leaves standing."""
        if len(places) == 0:
            return 0
        rank = 0 if self._sharded else rank_and_world()[0]
        pixels, labels = self.images.take(places)
        attacked = robust_accuracy(
            model,
            pixels,
            labels,
            [DEFAULT.having(steps=self._rule.steps)],
            self._rule.threat,
            batch_size=max(self._batch_size, 128),
            generator=torch.Generator(self.device).manual_seed(self._seed + epoch + 1_000_003 * rank),
        )
        return int(attacked.robust_correct.sum())
