"""Attacks: pure functions `attack(model, images, labels, *, norm, eps, ..., generator)` -> adversarial images."""

from hardener.catalog import Catalog

ATTACKS: Catalog = {
    "fgsm": ("hardener.attacks.fgsm:fgsm", "one step of length eps along the gradient"),
    "pgd": ("hardener.attacks.pgd:pgd", "projected gradient ascent on the cross-entropy"),
}
