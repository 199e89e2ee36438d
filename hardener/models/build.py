"""A network for some images: built with the channels that it takes, and given weights and a head that fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from hardener.errors import HardenerError
from hardener.models.load import LoadedModel, ModelChoice, count_outputs, find_head, load_model, replace_head
from hardener.models.weights import load_weights


def build_for(
    choice: ModelChoice, *, num_classes: int, channels: Sequence[int], height: int, width: int
) -> tuple[LoadedModel, int, int]:
    """Build a network and find which number of channels it takes.

    Args:
        channels: the numbers to try, the preferred one first.
    Returns:
        The network, the number of channels, and the number of its logits.
    Raises:
        HardenerError: it cannot be built, or takes images with none of these numbers of channels.
    """
    first_error: HardenerError | None = None
    for count in channels:
        random_state = torch.get_rng_state()
        loaded: LoadedModel | None = None
        try:
            loaded = load_model(choice, num_classes=num_classes, channels=count)
            return loaded, count, count_outputs(loaded.network, channels=count, height=height, width=width)
        except HardenerError as error:
            first_error = first_error or error
            if choice.pretrained and loaded is None and isinstance(error.__cause__, OSError):
                break  # what cannot be downloaded cannot be so for other channels either, after as long a wait
            torch.set_rng_state(random_state)
    assert first_error is not None, "at least one number of channels is tried"
    raise first_error


def fit_head(
    loaded: LoadedModel,
    outputs: int,
    num_classes: int,
    *,
    replace: bool,
    init: Path | None = None,
    allow_pickle: bool = False,
) -> tuple[str | None, list[str]]:
    """Load `init` into a network and give it the right number of outputs.

    Args:
        outputs: the number of logits that the network has now.
        replace: put a fresh final layer in where the network's, or the file's, has another number of outputs.
    Returns:
        The name of the replaced layer or None, and names of tensors in the file that had no place.
    Raises:
        HardenerError: the numbers differ and `replace` is not set, or the weights do not fit.
    """
    if outputs != num_classes and not replace:
        raise HardenerError(
            f"the model has {outputs} outputs and the data has {num_classes} classes. Pass --replace-head to put a "
            f"fresh final layer with {num_classes} outputs in, or let the model file build it: "
            "build_model(num_classes)."
        )
    extra: list[str] = []
    if init is not None:
        head = find_head(loaded.network, outputs) if replace else None
        extra = load_weights(loaded.network, init, allow_pickle=allow_pickle, fresh_head=head)
    if outputs == num_classes:
        return None, extra
    return replace_head(loaded.network, outputs, num_classes), extra
