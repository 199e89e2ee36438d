"""What speaks against a network and its weights: said in training, which may mend it, and refused in evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hardener.errors import HardenerError
from hardener.progress import Reporter

TRAIN_FIRST = "train it on these images first: hardener train MODEL --data DIR --init FILE"


@dataclass(frozen=True)
class Doubt:
    """A reason to doubt that a network with these weights is the one that was trained.

    Attributes:
        text: what was found.
        judged: what to do where the network is to be evaluated: a sentence.
        trained: what to do where it is to be trained, after the text.
        grave: evaluating it could only give wrong figures; else it is said there too.
    """

    text: str
    judged: str
    trained: str = ""
    grave: bool = True


def refuse(doubts: Iterable[Doubt], reporter: Reporter) -> None:
    """End an evaluation at the first grave doubt, and say the others.

    Raises:
        HardenerError: one is grave.
    """
    for doubt in doubts:
        if doubt.grave:
            raise HardenerError(f"{doubt.text}. {doubt.judged}")
        reporter.warn(f"{doubt.text}. {doubt.judged}".removesuffix("."))


def warn(doubts: Iterable[Doubt], reporter: Reporter) -> None:
    """Say doubts where a network is trained."""
    for doubt in doubts:
        (reporter.warn if doubt.grave else reporter.say)(doubt.text + (f". {doubt.trained}" if doubt.trained else ""))
