"""Methods: a batch -> the loss to minimise. `vicinity_risk` serves every recipe that only chooses a vicinity."""

from hardener.catalog import Catalog, Entry

METHODS: Catalog = {
    "vicinity-risk": Entry(
        "hardener.methods.vicinity_risk:VicinityRisk",
        "cross-entropy on a draw from the vicinity: natural, gaussian, mixup, label smoothing, SPROUT, PGD, FGSM",
    ),
    "trades": Entry("hardener.methods.trades:Trades", "clean cross-entropy, and the divergence of the answers nearby"),
    "free-at": Entry(
        "hardener.methods.free_at:FreeAt", "replayed minibatches, and a perturbation that climbs with them"
    ),
}
