"""Vicinities: (images, soft labels) -> a draw from their neighbourhood. Pure functions on tensors."""

from hardener.catalog import Catalog

VICINITIES: Catalog = {
    "gaussian": ("hardener.vicinity.gaussian:gaussian", "noise on the pixels"),
    "mixup": ("hardener.vicinity.mixup:mixup", "images and labels mixed in pairs"),
    "dirichlet": ("hardener.vicinity.dirichlet:dirichlet", "labels drawn from a Dirichlet law"),
}
