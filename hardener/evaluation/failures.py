"""Where a model fails: what it takes for what, and the images that it is least sure of, or most wrong about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from hardener.config.confusion_record import Confused, Confusion
from hardener.evaluation.robust_accuracy import RobustAccuracy
from hardener.evaluation.session import EvaluationSession
from hardener.losses.cross_entropy import cross_entropy
from hardener.losses.margin import margin
from hardener.reports.confusion import UNANSWERED
from hardener.reports.page import Gallery, ShownImage
from hardener.runtime.answers import finite
from hardener.runtime.model_state import as_float

SHOWN = 8


def confusion_of(result: RobustAccuracy, labels: Tensor, classes: tuple[str, ...]) -> Confusion:
    """Count which classes are taken for which, untouched and by the attacks.

    Args:
        labels: (N,) int64.
    """
    fell = result.clean_correct & ~result.robust_correct & (result.became >= 0)
    wrong = ~result.clean_correct
    return Confusion(
        clean=count_confused(labels[wrong], result.predictions[wrong], classes),
        turned=count_confused(labels[fell], result.became[fell], classes),
    )


def count_confused(labels: Tensor, became: Tensor, classes: Sequence[str]) -> list[Confused]:
    """Count the pairs of class and answer, the most images first; labels and answers are (N,) int64, −1 for none, which
    is not counted."""
    pairs = Counter(pair for pair in zip(labels.tolist(), became.tolist(), strict=True) if pair[1] >= 0)
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [Confused(label=classes[a], became=classes[b], images=count) for (a, b), count in ordered]


@torch.no_grad()
def clean_scores(session: EvaluationSession) -> dict[str, Tensor]:
    """Ask the model about the untouched images once more, for what is told of each.

    Returns:
        `margin`, the true class's logit minus the best other's; `loss`, the cross-entropy; and `confidence`, the
        probability of the answer: (N,) float32 each.
    """
    told: dict[str, list[Tensor]] = {"margin": [], "loss": [], "confidence": []}
    for piece in torch.arange(len(session.sample)).split(session.plan.request.batch_size):
        logits = session.model(as_float(session.sample.pixels[piece].to(session.device))).float()
        truth = session.sample.labels[piece].to(session.device)
        told["margin"].append(-margin(logits, truth).cpu())
        told["loss"].append(cross_entropy(logits, truth).cpu())
        told["confidence"].append(logits.softmax(dim=1).amax(dim=1).cpu())
    return {name: torch.cat(pieces) for name, pieces in told.items()}


def galleries(session: EvaluationSession, result: RobustAccuracy, scores: dict[str, Tensor]) -> list[Gallery]:
    """Choose the images that a person should look at: right by the least, and wrong by the most."""
    right, order = result.clean_correct, torch.arange(len(session.sample))
    least = order[right][scores["margin"][right].argsort(stable=True)][:SHOWN]
    most = order[~right][scores["loss"][~right].argsort(descending=True, stable=True)][:SHOWN]
    found = []
    for title, words, chosen, name in (
        ("Lowest margin", "Right, and by the least: the next to fall.", least, "margin"),
        ("Largest loss", "Wrong by the most. Look whether the label is right.", most, "loss"),
    ):
        images = [_shown(session, result, scores, place, name) for place in chosen.tolist()]
        found += [Gallery(title, words, images)] if images else []
    return found


def _shown(
    session: EvaluationSession, result: RobustAccuracy, scores: dict[str, Tensor], place: int, name: str
) -> ShownImage:
    sample, classes = session.sample, session.subject.classes
    return ShownImage(
        path=sample.paths[place],
        label=classes[int(sample.labels[place])],
        answer=[*classes, UNANSWERED][int(result.predictions[place])],
        confidence=finite(scores["confidence"][place]),
        score=f"{name} {float(scores[name][place]):.3g}",
        pixels=as_float(sample.pixels[place]).cpu().numpy(),
    )
