"""A network that gives features and no scores of classes -> one with a linear layer behind them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hardener.config.run_folder import HEAD_BEHIND
from hardener.errors import HardenerError
from hardener.models.answer import Way, averaged, tensor_at, unwrap_logits
from hardener.models.head import Answer, see_that_heads_can_be_replaced
from hardener.runtime.model_state import device_of


class Headed(nn.Module):
    """A network that gives features, and a linear layer behind it.

    Args:
        features: takes images; returns (N, `width`), or something that holds that, at `way`.
        width: numbers that it gives an image.
        averages: what stands there are maps or tokens, of which the average is taken.
    """

    def __init__(
        self, features: nn.Module, width: int, num_classes: int, way: Way | None = None, *, averages: bool = False
    ) -> None:
        super().__init__()
        number = next((one for one in features.parameters() if one.is_floating_point()), None)
        self.features = features
        self.head_behind_features = nn.Linear(width, num_classes)
        self.head_behind_features.to(device=device_of(features), dtype=None if number is None else number.dtype)
        self.width, self.way, self.averages = width, way, averages
        self.train(features.training)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (N, K)."""
        output = self.features(images)
        if self.averages:
            found = averaged(tensor_at(output, self.way or ()))
        else:
            found = unwrap_logits(output, width=self.width, images=images.shape[0], way=self.way)
        logits: Tensor = self.head_behind_features(found)
        return logits


def gives_features(network: nn.Module, answer: Answer, heads: Sequence[str] | None = None) -> bool:
    """Does a network end in no layer that makes its outputs, so that a linear layer can only be put behind them?

    A layer of the user's own that holds a matrix of that many rows or columns scores classes in a way of its own.

    Args:
        heads: what was replaced before, by its name; that decides.
    """
    if heads:
        return list(heads) == [HEAD_BEHIND]
    if answer.averaged:
        return True
    try:
        see_that_heads_can_be_replaced(network, answer.outputs, answer.heads)
    except HardenerError:
        return not any(_scores(network.get_submodule(name), answer.outputs) for name in answer.heads)
    return False


def _scores(layer: nn.Module, outputs: int) -> bool:
    own = not type(layer).__module__.startswith("torch.nn.")
    return own and any(one.dim() == 2 and outputs in one.shape for one in layer.parameters())
