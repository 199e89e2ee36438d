"""Attacks: pure functions `attack(model, images, labels, *, norm, eps, ..., generator)` -> adversarial images."""

from hardener.catalog import Catalog, Entry

ATTACKS: Catalog = {
    "fgsm": Entry("hardener.attacks.fgsm:fgsm", "one step of length eps along the gradient"),
    "bim": Entry("hardener.attacks.bim:bim", "small FGSM steps from the image itself"),
    "mi-fgsm": Entry("hardener.attacks.mi_fgsm:mi_fgsm", "steps along a running sum of gradients; made for transfer"),
    "pgd": Entry("hardener.attacks.pgd:pgd", "projected gradient ascent on ce, margin or dlr, from a random start"),
    "cw": Entry("hardener.attacks.cw:cw", "Carlini-Wagner: the margin inside the ball (linf), the nearest image (l2)"),
    "apgd": Entry("hardener.attacks.apgd:apgd", "Auto-PGD: steps that halve themselves, on ce, dlr or margin"),
    "apgd-t": Entry("hardener.attacks.apgd_t:apgd_t", "Auto-PGD towards each likely wrong class, on the targeted DLR"),
    "fab-t": Entry(
        "hardener.attacks.fab_t:fab_t", "steps along the linearised boundary to the nearest image that falls"
    ),
    "square": Entry("hardener.attacks.square:square", "random squares, kept where the margin falls; scores alone"),
    "deepfool": Entry(
        "hardener.attacks.deepfool:deepfool",
        "minimum norm: to the nearest boundary, linearised at each step",
    ),
    "fmn": Entry("hardener.attacks.fmn:fmn", "minimum norm: up the margin on a ball that shrinks once the image falls"),
    "spsa": Entry(
        "hardener.attacks.spsa:spsa",
        "Adam on gradients estimated from answers, along random signs; scores alone",
    ),
    "nes": Entry("hardener.attacks.nes:nes", "momentum on gradients estimated from answers, Gaussian; scores alone"),
    "hopskipjump": Entry("hardener.attacks.hopskipjump:hopskipjump", "along the boundary, by foolbox; decisions alone"),
    "transfer": Entry("hardener.attacks.transfer:transfer", "PGD on a surrogate; answers of the model alone"),
    "random-noise": Entry(
        "hardener.attacks.random_noise:random_noise", "random points of the border: the floor, no attack"
    ),
}
