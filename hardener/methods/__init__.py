"""Methods: a batch -> the loss to minimise. `vicinity_risk` serves every recipe that only chooses a vicinity."""

from hardener.catalog import Catalog

METHODS: Catalog = {
    "vicinity-risk": (
        "hardener.methods.vicinity_risk:VicinityRisk",
        "cross-entropy on a draw from the vicinity: natural, gaussian, mixup, label smoothing, SPROUT, PGD, FGSM",
    ),
    "trades": ("hardener.methods.trades:Trades", "clean cross-entropy, and the divergence of the answers nearby"),
    "free-at": ("hardener.methods.free_at:FreeAt", "replayed minibatches, and a perturbation that climbs with them"),
}
