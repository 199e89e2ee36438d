"""Attacks: pure functions `attack(model, images, labels, *, norm, eps, ..., generator)` -> adversarial images."""

from collections.abc import Mapping
from dataclasses import dataclass

from hardener.catalog import Entry
from hardener.threat import NORM_NAMES


@dataclass(frozen=True)
class Attack(Entry):
    """An attack, with facts about it.

    Attributes:
        norms: those that it knows.
    """

    norms: tuple[str, ...] = NORM_NAMES


ATTACKS: Mapping[str, Attack] = {
    "fgsm": Attack("hardener.attacks.fgsm:fgsm", "one step of length eps along the gradient"),
    "bim": Attack("hardener.attacks.bim:bim", "small FGSM steps from the image itself"),
    "mi-fgsm": Attack("hardener.attacks.mi_fgsm:mi_fgsm", "steps along a running sum of gradients; made for transfer"),
    "pgd": Attack("hardener.attacks.pgd:pgd", "projected gradient ascent on ce, margin or dlr, from a random start"),
    "cw": Attack("hardener.attacks.cw:cw", "Carlini-Wagner: the margin inside the ball (linf), the nearest image (l2)"),
    "apgd": Attack("hardener.attacks.apgd:apgd", "Auto-PGD: steps that halve themselves, on ce, dlr or margin"),
    "apgd-t": Attack("hardener.attacks.apgd_t:apgd_t", "Auto-PGD towards each likely wrong class, on the targeted DLR"),
    "fab-t": Attack(
        "hardener.attacks.fab_t:fab_t", "steps along the linearised boundary to the nearest image that falls"
    ),
    "square": Attack("hardener.attacks.square:square", "random squares, kept where the margin falls; scores alone"),
    "deepfool": Attack(
        "hardener.attacks.deepfool:deepfool",
        "minimum norm: to the nearest boundary, linearised at each step",
    ),
    "fmn": Attack(
        "hardener.attacks.fmn:fmn", "minimum norm: up the margin on a ball that shrinks once the image falls"
    ),
    "spsa": Attack(
        "hardener.attacks.spsa:spsa",
        "Adam on gradients estimated from answers, along random signs; scores alone",
    ),
    "nes": Attack("hardener.attacks.nes:nes", "momentum on gradients estimated from answers, Gaussian; scores alone"),
    "hopskipjump": Attack(
        "hardener.attacks.hopskipjump:hopskipjump",
        "along the boundary, by foolbox; decisions alone",
        norms=("linf", "l2"),
    ),
    "transfer": Attack("hardener.attacks.transfer:transfer", "PGD on a surrogate; answers of the model alone"),
    "random-noise": Attack(
        "hardener.attacks.random_noise:random_noise", "random points of the border: the floor, no attack"
    ),
}
