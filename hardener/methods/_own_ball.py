"""What methods with a loss of their own ask of a recipe: a ball, and nothing else of the vicinity."""

from __future__ import annotations

from collections.abc import Iterator

from hardener.config.schema import Recipe
from hardener.vicinity.worst_point import Settings as Ball


def own_ball(recipe: Recipe) -> Ball:
    """Return the ball of a recipe that has no faults."""
    ball = recipe.vicinity.own(Ball)
    assert ball is not None, "the recipe was checked"
    return ball


def own_ball_faults(recipe: Recipe) -> Iterator[str]:
    """Yield what the recipe lacks, and what such a method would pass over in silence."""
    ball, who = recipe.vicinity.own(Ball), f"method {recipe.method}"
    if ball is None:
        yield f"{who} needs vicinity.adversarial, such as vicinity.adversarial.eps=8/255"
    others = [f"vicinity.{key}" for key, settings in recipe.vicinity.on().items() if settings is not ball]
    if others:
        yield f"{who} takes images and labels as they are: no {', '.join(others)}"
    if ball is not None and (ball.start != 1 or not ball.project):
        yield f"{who} has its own start and stays in the ball: no start or project"
