"""What methods with a search of their own ask of a recipe: a ball, and nothing else of the vicinity."""

from __future__ import annotations

from collections.abc import Iterator

from hardener.config.schema import Recipe
from hardener.methods.method import vicinity_faults
from hardener.vicinity.worst_point import Settings as Ball


def ball_faults(recipe: Recipe) -> Iterator[str]:
    """Yield what the recipe lacks, and what such a method would pass over in silence."""
    ball = recipe.vicinity.find(Ball)
    yield from vicinity_faults(recipe, but=ball)
    if ball is None:
        yield f"method {recipe.method} needs vicinity.adversarial, such as vicinity.adversarial.eps=8/255"
    elif ball.start != 1 or ball.origin != "noise" or not ball.project:
        yield f"method {recipe.method} has its own start and stays in the ball: no start, origin or project"
    elif ball.agreement or ball.running_statistics:
        yield f"method {recipe.method} has a loss and passes of its own: no agreement or running_statistics"
    elif ball.schedule != "constant":
        yield f"method {recipe.method} trains at one eps: no schedule"
    elif ball.last_steps is not None:
        yield f"method {recipe.method} climbs by as many steps from first to last: no last_steps"
