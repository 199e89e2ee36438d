"""The eps that the kept epoch of a run was trained at, beside the one that its recipe asks for."""

from __future__ import annotations

from hardener.config.run_folder import BestRecord
from hardener.config.schema import Recipe
from hardener.config.section import Ball
from hardener.threat import show_distance

NEARLY = 0.9
"""Of the eps that a run is to come to: an epoch that ends at less is kept only until there is one that does not."""


def told_eps(best: BestRecord, recipe: Recipe) -> str:
    """Say what eps the kept epoch was trained at, where that is less than the recipe asks for: a run was cut off, or
    fell back after a collapse. Else nothing."""
    ball = recipe.vicinity.find(Ball)
    if ball is None or best.eps is None or best.eps >= NEARLY * ball.eps:
        return ""
    if best.eps == 0:
        return ", trained before its attack began, at eps 0"
    asked = show_distance(ball.eps, ball.norm)
    return f", trained at eps {show_distance(best.eps, ball.norm)} where {asked} is asked for"
