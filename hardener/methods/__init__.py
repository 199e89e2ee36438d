"""Methods: a batch -> the loss to minimise. `vicinity_risk` serves every recipe that only chooses a vicinity."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hardener.config.section import Section, SectionEntry


@dataclass(frozen=True)
class MethodEntry(SectionEntry):
    """A method of training; `target` is a `methods.method.Method`.

    Attributes:
        settings: its own section, beside `vicinity`, `beta` and `awp`, which all methods share.
        faults: why it refuses a recipe. A method that says nothing of it takes images and labels as they are, and
            refuses any vicinity, which it would pass over in silence.
        replays: it climbs by taking each minibatch `theta_steps` times, instead of by steps of its own.
        weighs: its loss is the mean that `Method.mean` or `Method.weights_of` make, so classes may be weighed.
    """

    faults: str | None = "hardener.methods.method:vicinity_faults"
    replays: bool = False
    weighs: bool = False

    def faults_of(self, recipe: Section) -> Iterator[str]:
        """Yield why it refuses the recipe; see `SectionEntry.faults_of`."""
        yield from super().faults_of(recipe)
        asked = dict(recipe)
        if not self.weighs and asked["data"].balance == "weights":
            yield f"method {asked['method']} weighs no classes: data.balance=sampler goes with any method"


METHODS: Mapping[str, MethodEntry] = {
    "vicinity-risk": MethodEntry(
        "hardener.methods.vicinity_risk:VicinityRisk",
        "cross-entropy on a draw from the vicinity: natural, gaussian, mixup, label smoothing, SPROUT, PGD, FGSM",
        faults=None,
        weighs=True,
    ),
    "trades": MethodEntry(
        "hardener.methods.trades:Trades",
        "clean cross-entropy, and the divergence of the answers nearby",
        settings="Settings",
        faults="hardener.methods._own_ball:ball_faults",
        weighs=True,
    ),
    "free-at": MethodEntry(
        "hardener.methods.free_at:FreeAt",
        "replayed minibatches, and a perturbation that climbs with them",
        faults="faults",
        replays=True,
        weighs=True,
    ),
    "consistency": MethodEntry(
        "hardener.methods.consistency:Consistency",
        "cross-entropy on noisy copies of an image, and the same answer to all of them",
        settings="Settings",
        faults="faults",
        weighs=True,
    ),
}
"""The first is the default: it has neither section nor faults, so that its recipes are read without its file."""
