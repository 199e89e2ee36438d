"""The shapes an attack moves in: one file a norm, each with the same four functions."""

from __future__ import annotations

from types import ModuleType

from hardener.catalog import Catalog, Entry

NORMS: Catalog = {
    "linf": Entry("hardener.geometry.linf:project", "largest change of any one pixel"),
    "l2": Entry("hardener.geometry.l2:project", "Euclidean length over all pixels and channels"),
}


def norm_geometry(norm: str) -> ModuleType:
    """Return the module with `project`, `random_point`, `steepest` and `size` for a norm.

    Raises:
        HardenerError: unknown norm.
    """
    import sys

    from hardener.catalog import resolve

    return sys.modules[resolve(NORMS, norm, "norm").__module__]
