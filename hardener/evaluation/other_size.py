"""A run's network at another size of images than the one that it was trained at."""

from __future__ import annotations

import torch

from hardener.config.evaluation_record import Flag
from hardener.data.loader import ImageShape
from hardener.errors import HardenerError
from hardener.models.conditions import noise
from hardener.models.normalize import ImageClassifier
from hardener.runtime.model_state import device_of, in_eval_mode


def fault_at(classifier: ImageClassifier, shape: ImageShape) -> str | None:
    """Return what goes wrong where a classifier is given images of this shape; None: nothing does."""
    try:
        with torch.no_grad(), in_eval_mode(classifier):
            answer = classifier(noise(2, shape.channels, shape.height, shape.width, device_of(classifier)))
    except Exception as error:  # a user's network may raise anything
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")
    return None if answer.shape == (2, len(classifier.classes)) else f"it answers with {tuple(answer.shape)}"


def check_size(classifier: ImageClassifier, shape: ImageShape, trained: ImageShape, run: str) -> Flag:
    """See that a run's classifier takes images of this shape.

    Returns:
        What the record says of it.
    Raises:
        HardenerError: it takes the size that it was trained at alone.
    """
    here, there = f"{shape.height}x{shape.width}", f"{trained.height}x{trained.width}"
    fault = fault_at(classifier, shape)
    if fault is not None:
        raise HardenerError(
            f"the network of {run} was trained at {there} and does not take images of {here}: {fault}. Leave out "
            "--image-size, or train a run at that size."
        )
    return Flag(
        id="other-size",
        message=f"images of {here} were asked about; the run was trained at {there}, and its bundle takes that alone",
        page="docs/flags.md#other-size",
    )
