"""Accuracies on the validation split, after each epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hardener.config.data_findings import are_uneven
from hardener.config.schema import Recipe
from hardener.data.loader import LoadedImages
from hardener.evaluation.robust_accuracy import robust_accuracy
from hardener.evaluation.suite import DEFAULT
from hardener.progress import rank_and_world
from hardener.runtime.answers import NO_ANSWER, chosen_class
from hardener.runtime.model_state import as_float
from hardener.runtime.processes import own_share, sum_of
from hardener.training.balance import first_of_each
from hardener.training.parallel import SameAnswers, share_buffers


@dataclass(frozen=True)
class Measured:
    """Accuracies on the validation split.

    Attributes:
        robust: of the images that the quick attack was asked about.
        by_class: clean, of each class; None for one without images.
        unanswered: how many images have answers that are NaN or infinite; they count as wrong.
        balanced, balanced_robust: means over classes, where these are so uneven that it is told.
    """

    clean: float
    robust: float
    by_class: tuple[float | None, ...]
    balanced: float | None
    balanced_robust: float | None
    unanswered: int = 0


class Validator:
    """The validation split, shared out among the processes."""

    def __init__(
        self,
        images: LoadedImages,
        recipe: Recipe,
        *,
        num_classes: int,
        seed: int,
        device: torch.device,
        sharded: bool,
        even: bool,
    ) -> None:
        """Choose the images that the quick attack is asked about.

        Args:
            even: as many of each class, as far as there are.
            sharded: each process holds but a part of the network, so that all must ask about the same image at once.
        """
        self.images, self.device, rule = images, device, recipe.validation
        self.samples = min(rule.samples, len(images))
        self._counts = torch.bincount(images.labels, minlength=num_classes)
        self._rule, self._seed, self._batch_size, self._sharded = rule, seed, recipe.batch_size, sharded
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(images), generator=generator)
        self._order = (first_of_each(images.labels, order) if even else order)[: self.samples]

    def measure(self, judged: nn.Module, epoch: int) -> Measured:
        """Return clean accuracies on the whole split and quick robust accuracy on part of it."""
        share_buffers(judged)
        stood = (
            self._stood(SameAnswers(judged), self._order, epoch)
            if self._sharded
            else sum_of(self._stood(judged, self._order[own_share(self.samples)], epoch))
        )
        asked = torch.bincount(self.images.labels[self._order], minlength=len(self._counts))
        (right, unanswered), uneven = self._right(judged), are_uneven(self._counts.tolist())
        by_class, robust = _shares(right, self._counts), _shares(stood, asked)
        return Measured(
            int(right.sum()) / len(self.images),
            int(stood.sum()) / self.samples,
            by_class,
            balanced=_mean(by_class) if uneven else None,
            balanced_robust=_mean(robust) if uneven else None,
            unanswered=unanswered,
        )

    def _right(self, judged: nn.Module) -> tuple[Tensor, int]:
        """Return how many images of each class are answered rightly, (K,) int64, and how many not at all."""
        judged.eval()
        count = len(self.images)
        own = own_share(count)
        even = torch.zeros(math.ceil(count / rank_and_world()[1]), dtype=own.dtype)  # all processes ask equally often
        even[: len(own)] = own
        said = torch.full((len(own),), NO_ANSWER)
        done = 0
        with torch.no_grad():
            for pixels, _ in self.images.batches(even, 256):
                piece = chosen_class(judged(as_float(pixels.to(self.device)))).cpu()[: len(own) - done]
                said[done : done + len(piece)] = piece
                done += len(piece)
        labels = self.images.labels[own]
        silent = sum_of(torch.tensor([int((said == NO_ANSWER).sum())]))
        return sum_of(torch.bincount(labels[said == labels], minlength=len(self._counts))), int(silent)

    def _stood(self, model: nn.Module, places: Tensor, epoch: int) -> Tensor:
        """Return how many of the images at these places the quick attack leaves standing, of each class: (K,) int64."""
        if len(places) == 0:
            return torch.zeros_like(self._counts)
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
        stood = self.images.labels[places][attacked.robust_correct.cpu()]
        return torch.bincount(stood, minlength=len(self._counts))


def _shares(right: Tensor, counts: Tensor) -> tuple[float | None, ...]:
    return tuple(own / count if count else None for own, count in zip(right.tolist(), counts.tolist(), strict=True))


def _mean(shares: tuple[float | None, ...]) -> float:
    known = [share for share in shares if share is not None]
    return sum(known) / len(known)
