"""A finished run's kept weights on its validation images: what is taken for what, and the images of largest loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from hardener.config.kept_eps import told_eps
from hardener.config.run_folder import RunFolder, RunRecord
from hardener.data.loader import LoadedImages
from hardener.errors import HardenerError
from hardener.evaluation.failures import SHOWN, count_confused
from hardener.losses.cross_entropy import cross_entropy
from hardener.models.checkpoints.weights import load_weights
from hardener.models.normalize import ImageClassifier
from hardener.reports.command import fresh_command
from hardener.reports.confusion import UNANSWERED, with_unanswered
from hardener.reports.page import Gallery, ShownImage
from hardener.reports.training_page import LookedBack, write_training_page
from hardener.runtime.answers import chosen_class, finite
from hardener.runtime.model_state import as_float


def look_back(
    run: RunFolder,
    record: RunRecord,
    classifier: ImageClassifier,
    images: LoadedImages,
    device: torch.device,
    warn: Callable[[str], None],
) -> None:
    """Write the page of a run that is finished. Training needs none of it: what goes wrong is told, and ends nothing.

    Args:
        classifier: whole, on `device`; it gets the run's kept weights and ends in evaluation mode.
        images: the validation split.
    """
    try:
        load_weights(classifier.network, run.weights)
        found = _looked_back(run, record, classifier, images, device)
        write_training_page(found, run.train_page, curves=run.curves)
    except (OSError, HardenerError) as error:
        why = str(error).rstrip(".")
        warn(f"{run.train_page} could not be made: {why}. Make it later with: {run.going_on}")


@torch.no_grad()
def _looked_back(
    run: RunFolder, record: RunRecord, classifier: nn.Module, images: LoadedImages, device: torch.device
) -> LookedBack:
    classifier.eval()
    chosen, losses, sure = [], [], []
    for pixels, labels in images.batches(torch.arange(len(images)), 256):
        logits = classifier(as_float(pixels.to(device))).float()
        chosen.append(chosen_class(logits).cpu())
        losses.append(cross_entropy(logits, labels.to(device)).cpu())
        sure.append(logits.softmax(dim=1).amax(dim=1).cpu())
    recipe = run.read_recipe()
    answer, loss, confidence = torch.cat(chosen), torch.cat(losses), torch.cat(sure)
    wrong, best = answer != images.labels, record.best
    assert best is not None, "a finished run has a best epoch"
    places = wrong.nonzero().flatten()
    places = places[loss[places].argsort(descending=True, stable=True)][:SHOWN]
    pictures, _ = images.take(places)
    shown = [
        ShownImage(
            path=images.files.paths[place],
            label=record.classes[int(images.labels[place])],
            answer=[*record.classes, UNANSWERED][int(answer[place])],
            confidence=finite(confidence[place]),
            score=f"loss {float(loss[place]):.3g}",
            pixels=as_float(pixels).cpu().numpy(),
        )
        for place, pixels in zip(places.tolist(), pictures, strict=True)
    ]
    words = "Wrong by the most. Look whether the label is right."
    missed = images.labels[wrong]
    counts, misses = (torch.bincount(own, minlength=len(record.classes)).tolist() for own in (images.labels, missed))
    confused = count_confused(missed, answer[wrong], record.classes)
    return LookedBack(
        name=record.name,
        told=f"recipe {recipe.name} · epoch {best.epoch} of {record.epochs_done} is kept{told_eps(best, recipe)}",
        samples={name: count for name, count in zip(record.classes, counts, strict=True) if count},
        confused=with_unanswered(confused, dict(zip(record.classes, misses, strict=True))),
        gallery=Gallery("Largest loss", words, shown) if shown else None,
        command=fresh_command(run.path),
    )
