"""Networks are tried with images of other sizes, within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.models.choosing.probing import Trials
from hardener.models.code.arguments import Facts
from hardener.models.load import ModelChoice, load_model


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


NET = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.fc = nn.Linear(3, num_classes)
    def forward(self, x):
        x = self.fc(x.mean((2, 3)))
        LINE
        return x
"""
FAILS = {
    "changed in place": "y = x.exp(); y += 1; x = y",
    "asks for a device": "x = x.to('cuda:99') if self.training else x",
    "a loss in training": "x = x.sum() if self.training else x",
    "features in training": "x = torch.cat([x, x], 1) if self.training else x",
    "detached": "x = x.detach()",
    "reads numbers and fails": "assert not self.training or x[0, 0].item() > 99",
}


def nets(folder: Path, *lines: str) -> Path:
    """Write a file of networks First, Second …, with one line of their own each."""
    names = ["First", "Second", "Third"]
    text = "".join(NET.replace("Net(", f"{n}(").replace("LINE", line) for n, line in zip(names, lines, strict=False))
    (folder / "net.py").write_text(text)
    return folder / "net.py"


@pytest.mark.parametrize("kind", FAILS)
def test_what_fails_in_a_step_of_training_comes_last(kind: str, tmp_path: Path) -> None:
    path = nets(tmp_path, FAILS[kind], "pass", "x = x + torch.rand(1).item() if self.training else x")
    with pytest.raises(HardenerError) as found:
        load_model(str(path), num_classes=2, size=(4, 4))
    lines = [line.split() for line in str(found.value).splitlines()[1:]]
    assert [line[1] for line in lines] == ["Second", "Third", "First"]
    assert [line[-1] == "fails" for line in lines] == [False, False, True]


def test_a_step_of_training_decides_only_where_there_is_a_choice(tmp_path: Path) -> None:
    assert load_model(str(nets(tmp_path, FAILS["detached"])), num_classes=2, size=(4, 4)).entry == "First"
    path = nets(tmp_path, FAILS["detached"], FAILS["detached"])
    with pytest.raises(HardenerError, match=r"(?s)net.py can be trained:\n  --entry First: no gradient .*Second: no "):
        load_model(str(path), num_classes=2, size=(4, 4))


def test_what_fits_less_is_offered_where_what_fits_best_cannot_be_trained(tmp_path: Path) -> None:
    path = nets(tmp_path, FAILS["changed in place"], "pass")
    first, second = path.read_text().split("class Second")
    fixed = second.replace("num_classes=2", "width=5").replace("num_classes", "width")
    path.write_text(f"{first}class Second{fixed}")
    choice = ModelChoice(str(path), offers_head=True)
    with pytest.raises(HardenerError, match=r"(?s)first:\n  --entry Second --replace-head .*--entry First .* fails$"):
        load_model(choice, num_classes=2, size=(4, 4))


@pytest.mark.parametrize("line", ["self.kept = self.fc.weight.detach().numpy()", "self.to('cpu')"])
def test_what_cannot_be_built_without_numbers_takes_its_step_for_real(line: str, tmp_path: Path) -> None:
    path = nets(tmp_path, FAILS["detached"], "pass", "pass")
    path.write_text(path.read_text().replace("num_classes)\n    def", f"num_classes)\n        {line}\n    def"))
    with pytest.raises(HardenerError) as found:
        load_model(str(path), num_classes=2, size=(4, 4))
    lines = [line.split() for line in str(found.value).splitlines()[1:]]
    assert [(line[1], line[-1]) for line in lines] == [("Second", "outputs"), ("Third", "outputs"), ("First", "fails")]
