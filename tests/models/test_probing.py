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
