"""Vicinities: (images, soft labels) -> a draw from their neighbourhood. Pure functions on tensors."""

from hardener.catalog import Catalog, Entry

VICINITIES: Catalog = {
    "gaussian": Entry("hardener.vicinity.gaussian:gaussian", "noise on the pixels"),
    "mixup": Entry("hardener.vicinity.mixup:mixup", "images and labels mixed in pairs"),
    "dirichlet": Entry("hardener.vicinity.dirichlet:dirichlet", "labels drawn from a Dirichlet law"),
}
