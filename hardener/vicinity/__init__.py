"""Vicinities: (images, soft labels) -> a draw from their neighbourhood. Pure functions on tensors."""

from collections.abc import Mapping
from dataclasses import dataclass

from hardener.config.section import SectionEntry


@dataclass(frozen=True)
class VicinityEntry(SectionEntry):
    """A vicinity. `target` draws: `(images, soft_labels, *, its settings and needs) -> (images, soft_labels)`.

    Where it is a class, it is made of its settings, and what is made is called with the rest. It is on where its key
    of the recipe's section `vicinity` is neither 0 nor null.

    Attributes:
        settings: the model of its section; None: the key stands in `config.schema.Vicinity` already.
        needs: what else it is called with: `model`, images -> logits; `prior`, what is kept of each image from epoch to
            epoch, or None; `beta`, the vector that a method learns. What needs `beta` also says how it starts and how
            far it may go; see `chain.Learner`.
        smooths: it moves mass of a label to classes that the image shows nothing of, as mixing does not; what the image
            counts in the loss stays. Such a one is a class, and says the mean of its labels; see `chain.Smoother`.
        climbs: it follows the gradient, by as many steps as its attribute `steps` says.
    """

    needs: tuple[str, ...] = ()
    smooths: bool = False
    climbs: bool = False


VICINITIES: Mapping[str, VicinityEntry] = {
    "gaussian": VicinityEntry("hardener.vicinity.gaussian:gaussian", "noise on the pixels", key="noise_sigma"),
    "mixup": VicinityEntry("hardener.vicinity.mixup:mixup", "images and labels mixed in pairs", key="mixup_alpha"),
    "cutmix": VicinityEntry(
        "hardener.vicinity.cutmix:cutmix", "a rectangle of another image, labels mixed alike", settings="Settings"
    ),
    "patch-gaussian": VicinityEntry(
        "hardener.vicinity.patch_gaussian:NoisyPatch",
        "noise on a patch, and a label that is less certain the more there is",
        settings="Settings",
        smooths=True,
    ),
    "worst-change": VicinityEntry(
        "hardener.vicinity.worst_change:WorstChange",
        "the worst of a few random points of a threat without a norm",
        settings="Settings",
        needs=("model",),
    ),
    "worst-point": VicinityEntry(
        "hardener.vicinity.worst_point:WorstPoint",
        "the point of a ball that a climb on the loss ends at",
        settings="Settings",
        key="adversarial",
        needs=("model", "prior"),
        faults="faults",
        climbs=True,
    ),
    "dirichlet": VicinityEntry(
        "hardener.vicinity.dirichlet:LabelLaw",
        "labels smoothed, or drawn from a Dirichlet law whose vector learns",
        key="labels",
        needs=("beta",),
        smooths=True,
    ),
}
"""In the order that they are drawn in: each takes what the one before gave. A new one stands before `worst-point`."""
