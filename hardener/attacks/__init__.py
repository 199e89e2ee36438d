"""Attacks: pure functions `attack(model, images, labels, *, norm, eps, ..., generator)` -> adversarial images."""

from hardener.catalog import Catalog

ATTACKS: Catalog = {
    "fgsm": ("hardener.attacks.fgsm:fgsm", "one step of length eps along the gradient"),
    "bim": ("hardener.attacks.bim:bim", "small FGSM steps from the image itself"),
    "mi-fgsm": ("hardener.attacks.mi_fgsm:mi_fgsm", "steps along a running sum of gradients; made for transfer"),
    "pgd": ("hardener.attacks.pgd:pgd", "projected gradient ascent on ce, margin or dlr, from a random start"),
    "cw": ("hardener.attacks.cw:cw", "Carlini-Wagner: the margin inside the ball (linf), the nearest image (l2)"),
    "apgd": ("hardener.attacks.apgd:apgd", "Auto-PGD: steps that halve themselves, on ce, dlr or margin"),
    "apgd-t": ("hardener.attacks.apgd_t:apgd_t", "Auto-PGD towards each likely wrong class, on the targeted DLR"),
    "fab-t": ("hardener.attacks.fab_t:fab_t", "steps along the linearised boundary to the nearest image that falls"),
    "square": ("hardener.attacks.square:square", "random squares, kept where the margin falls; scores alone"),
    "deepfool": (
        "hardener.attacks.deepfool:deepfool",
        "minimum norm: to the nearest boundary, linearised at each step",
    ),
    "fmn": ("hardener.attacks.fmn:fmn", "minimum norm: up the margin on a ball that shrinks once the image falls"),
    "spsa": (
        "hardener.attacks.spsa:spsa",
        "Adam on gradients estimated from answers, along random signs; scores alone",
    ),
    "nes": ("hardener.attacks.nes:nes", "momentum on gradients estimated from answers, Gaussian; scores alone"),
    "hopskipjump": ("hardener.attacks.hopskipjump:hopskipjump", "along the boundary, by foolbox; decisions alone"),
    "transfer": ("hardener.attacks.transfer:transfer", "PGD on a surrogate; answers of the model alone"),
    "random-noise": ("hardener.attacks.random_noise:random_noise", "random points of the border: the floor, no attack"),
}
