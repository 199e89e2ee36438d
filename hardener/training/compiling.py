"""The network through torch.compile, for as long as torch can compile it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from hardener.config.schema import Recipe
from hardener.models.code.user_code import first_line


def compiles(recipe: Recipe, device: torch.device) -> bool:
    """Tell whether the network goes through torch.compile; `auto` does on a GPU, where it gains most."""
    if recipe.network.checkpoint:
        return False
    return device.type == "cuda" if recipe.compile == "auto" else recipe.compile == "on"


def compiled_by(
    recipe: Recipe, device: torch.device, warn: Callable[[str], None]
) -> Callable[[nn.Module], nn.Module] | None:
    """Return what gives a network compiled as a recipe has it, or None."""
    return partial(Compiled, warn=warn, graphs=recipe.cuda_graphs) if compiles(recipe, device) else None


def begin_step(recipe: Recipe) -> None:
    """Tell CUDA graphs that what the step before has computed may be written over."""
    if recipe.cuda_graphs:
        torch.compiler.cudagraph_mark_step_begin()


class Compiled(nn.Module):
    """A network through torch.compile; from the call on that torch cannot compile, the network as it is.

    A compiler is missing more often than it seems: Triton wants a C compiler beside it and a GPU that is not too old,
    and torch a Python that it knows. No training that works without is lost to that.

    Args:
        network: (N, C, H, W) in [0, 1] -> logits (N, K).
        warn: is told once why it is not compiled.
        graphs: start its kernels by CUDA graphs; `begin_step` has to be called before each step.
    """

    def __init__(self, network: nn.Module, warn: Callable[[str], None], graphs: bool = False) -> None:
        super().__init__()
        self.network, self._warn = network, warn
        # in a tuple, so that the compiled network is no second module with the same parameters
        self._compiled: tuple[Callable[[Tensor], Tensor], ...] = ()
        try:
            self._compiled = (torch.compile(network, mode="reduce-overhead") if graphs else torch.compile(network),)
        except RuntimeError as error:  # this Python, or this system, is none that torch compiles on
            self._give_up(error)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W)."""
        from torch._dynamo.exc import TorchDynamoException

        for compiled in self._compiled:
            try:
                return compiled(images)
            except TorchDynamoException as error:
                self._give_up(error)
        found: Tensor = self.network(images)
        return found

    def _give_up(self, error: Exception) -> None:
        self._compiled = ()
        why = first_line(error).rstrip(".:")
        self._warn(f"torch cannot compile the network here, and it is trained without, slower: {why}")
