"""Searches: pure functions `search(model, images, labels, *, change, ..., generator)` -> points of a threat's box."""

from __future__ import annotations

from collections.abc import Mapping

from hardener.attacks import Attack

SEARCHES: Mapping[str, Attack] = {
    "grid-search": Attack(
        "hardener.attacks.searches.grid_search:grid_search",
        "every point of a grid over the ranges; for threats of few values",
        frozenset({"gradient-free"}),
        norms=(),
        grid=True,
    ),
    "box-pgd": Attack(
        "hardener.attacks.searches.box_pgd:box_pgd",
        "the worst of a few random points, then up the gradient of the margin in the ranges",
        frozenset({"gradient"}),
        draws=True,
        norms=(),
        loss="margin",
        looks=True,
    ),
    "box-search": Attack(
        "hardener.attacks.searches.box_search:box_search",
        "random points, then ever nearer to the worst of them; scores alone",
        frozenset({"gradient-free"}),
        draws=True,
        norms=(),
    ),
}
"""What looks for the worst point of a threat that no norm describes."""
