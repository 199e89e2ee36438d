"""What a request names, looked for before anything takes time."""

from __future__ import annotations

from hardener.errors import HardenerError
from hardener.models.load import see_that_it_is_there
from hardener.training.request import TrainRequest


def see_what_is_named(request: TrainRequest) -> None:
    """See that model and weights are there, before the images are read, which takes time.

    Raises:
        HardenerError: one is not.
    """
    see_that_it_is_there(request.model, request.root)
    if request.init is not None and not request.init.exists():
        raise HardenerError(f"no such file: {request.init}.")
    if request.init is None and request.weights is not None:
        raise HardenerError(f"--weights {request.weights} is one of several in --init, and none is given: add --init.")
