"""Methods: a batch -> the loss to minimise. `vicinity_risk` serves every recipe that only chooses a vicinity."""

from collections.abc import Mapping
from dataclasses import dataclass

from hardener.config.section import SectionEntry


@dataclass(frozen=True)
class MethodEntry(SectionEntry):
    """A method of training; `target` is a `methods.method.Method`.

    Attributes:
        settings: its own section, beside `vicinity`, `beta` and `awp`, which all methods share.
        faults: why it refuses a recipe. A method that says nothing of it takes images and labels as they are, and
            refuses any vicinity, which it would pass over in silence.
    """

    faults: str | None = "hardener.methods.method:vicinity_faults"


METHODS: Mapping[str, MethodEntry] = {
    "vicinity-risk": MethodEntry(
        "hardener.methods.vicinity_risk:VicinityRisk",
        "cross-entropy on a draw from the vicinity: natural, gaussian, mixup, label smoothing, SPROUT, PGD, FGSM",
        faults=None,
    ),
    "trades": MethodEntry(
        "hardener.methods.trades:Trades",
        "clean cross-entropy, and the divergence of the answers nearby",
        settings="Settings",
        faults="hardener.methods._own_ball:ball_faults",
    ),
    "free-at": MethodEntry(
        "hardener.methods.free_at:FreeAt",
        "replayed minibatches, and a perturbation that climbs with them",
        faults="faults",
    ),
}
"""The first is the default: it has neither section nor faults, so that its recipes are read without its file."""
