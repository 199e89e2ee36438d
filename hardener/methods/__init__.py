"""Methods: a batch -> the loss to minimise. `vicinity_risk` serves every recipe that only chooses a vicinity."""

from collections.abc import Mapping

from hardener.config.section import SectionEntry

METHODS: Mapping[str, SectionEntry] = {
    "vicinity-risk": SectionEntry(
        "hardener.methods.vicinity_risk:VicinityRisk",
        "cross-entropy on a draw from the vicinity: natural, gaussian, mixup, label smoothing, SPROUT, PGD, FGSM",
    ),
    "trades": SectionEntry(
        "hardener.methods.trades:Trades",
        "clean cross-entropy, and the divergence of the answers nearby",
        settings="hardener.methods.trades:Settings",
        faults="hardener.methods._own_ball:ball_faults",
    ),
    "free-at": SectionEntry(
        "hardener.methods.free_at:FreeAt",
        "replayed minibatches, and a perturbation that climbs with them",
        faults="hardener.methods.free_at:faults",
    ),
}
"""Each `target` is a `methods.method.Method`; `settings` are of its own section, beside those that all methods share.

The first is the default: it has neither section nor faults, so that its recipes are read without its file.
"""
