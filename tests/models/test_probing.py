"""Networks are tried with images of other sizes, within bounds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hardener.models.arguments import Facts
from hardener.models.probing import Trials


def test_what_has_to_be_computed_is_shown_small_images_first() -> None:
    shown: list[int] = []

    class Splines(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.grid = torch.eye(2).numpy()  # there are no numbers on the device meta
            self.fc = nn.Linear(28 * 28, 2)

        def forward(self, x: Tensor) -> Tensor:
            shown.append(x.shape[-1])
            found: Tensor = self.fc(x.flatten(1))
            return found

    trial = Trials(Facts(2, 1, (32, 32))).run(Splines, other_sizes=True)
    assert (trial.outputs, trial.size) == (2, (28, 28))
    assert max(shown) < 100


def test_what_prepares_itself_for_eval_mode_does_so_behind_a_decorator_too() -> None:
    class Prepares(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        @torch.no_grad()
        def train(self, mode: bool = True) -> Prepares:
            super().train(mode)
            if not mode:
                self.bias = self.fc.bias + 0
            return self

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.fc(x.mean((2, 3))) + (0 if self.training else self.bias)
            return found

    assert Trials(Facts(2, 3, (4, 4))).run(Prepares).outputs == 2
