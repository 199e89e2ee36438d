"""What the user's own code raises is told with its file, its line, what went in, and what to try."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hardener.errors import HardenerError
from hardener.models.code.user_code import ADVICE, advice_for, describe, explained, explaining, place_of, user_code
from hardener.models.load import load_model
from hardener.models.normalize import ImageClassifier

TWICE = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.f = nn.Linear(12, num_classes)
    def forward(self, x):
        return self.f({})
"""
LATE = """
from torch import nn
class Net(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.f = nn.Linear(12, num_classes)
    def forward(self, x):
        from late_beside import act
        return act(self.f(x))
"""

QUARTER: Any = 32 / 4
"""What Python 2 made a whole number."""


def raised(folder: Path, features: str, images: torch.Tensor) -> Exception:
    """What a small network raises that makes its features in this way."""
    (folder / "net.py").write_text(TWICE.format(features))
    network = load_model(str(folder / "net.py"), num_classes=3).network
    with pytest.raises(Exception) as found:  # noqa: PT011 - any kind is asked for
        ImageClassifier(network, mean=(), std=(), classes="abc")(images)
    return found.value


def test_an_error_in_forward_names_file_line_shapes_and_what_to_try(tmp_path: Path) -> None:
    shown = explained(raised(tmp_path, "x.view(2, -1)", torch.rand(7, 3, 2, 2)))
    assert shown is not None
    advice = "A fixed number of images or of features stands there: write x.flatten(1), which keeps the batch as it is."
    assert str(shown) == (
        "the model's code raises RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x42 and 12x3) (net.py, line "
        f"9: return self.f(x.view(2, -1))). In forward: x is (7, 3, 2, 2) float32. {advice}"
    )
    shown = explained(raised(tmp_path, "x.view(5, 12)", torch.rand(7, 3, 2, 2)))
    assert "shape '[5, 12]' is invalid for input of size 84 (net.py, line 9" in str(shown)
    assert advice in str(shown)


def test_an_error_that_torch_raises_for_a_registrys_network_is_the_networks() -> None:
    network = load_model("torchvision:squeezenet1_1", num_classes=3).network
    with pytest.raises(RuntimeError) as found:
        ImageClassifier(network, mean=(), std=(), classes="abc")(torch.rand(2, 1, 64, 64))
    told = describe(found.value)
    assert "squeezenet.py, line" in told
    assert "--set data.channels" in told


def test_what_hardener_itself_raises_is_not_the_users() -> None:
    from hardener.catalog import resolve

    with pytest.raises(HardenerError) as found:
        resolve({}, "x", "thing")
    assert explained(found.value) is None
    with pytest.raises(TypeError) as mistake:
        torch.zeros("a")  # type: ignore[arg-type]
    mistake.value.__traceback__ = None
    assert explained(mistake.value) is None


def test_explaining_lets_only_the_users_errors_leave_as_told(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(TWICE.format("x.view(2, -1)"))
    network = load_model(str(tmp_path / "net.py"), num_classes=3).network
    classifier = ImageClassifier(network, mean=(), std=(), classes="abc")
    with pytest.raises(HardenerError, match="net.py, line 9") as found, explaining():
        classifier(torch.rand(7, 3, 2, 2))
    assert isinstance(found.value.__cause__, RuntimeError)
    with pytest.raises(KeyboardInterrupt), explaining():
        raise KeyboardInterrupt


def test_code_that_ends_the_program_is_an_error_and_ctrl_c_is_not() -> None:
    with pytest.raises(HardenerError, match=r"it raises SystemExit: 3 .*below `if __name__"), user_code("it"):
        sys.exit(3)
    with pytest.raises(KeyboardInterrupt), user_code("it"):
        raise KeyboardInterrupt


def test_an_import_inside_a_function_of_a_file_beside_is_told_to_move(tmp_path: Path) -> None:
    (tmp_path / "late_beside.py").write_text("def act(x):\n    return x\n")
    (tmp_path / "net.py").write_text(LATE)
    network = load_model(str(tmp_path / "net.py"), num_classes=3).network
    with pytest.raises(ModuleNotFoundError) as found:
        network(torch.rand(2, 12))
    assert "Move the import of late_beside to the top of the file" in describe(found.value)


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (lambda: nn.Linear(3, 2)(torch.rand(2, 4)), "another size of images"),
        (lambda: nn.Conv2d(3, 2, 5)(torch.rand(2, 3, 4, 4)), "too small"),
        (lambda: nn.MaxPool2d(4)(torch.rand(2, 3, 2, 2)), "too small"),
        (lambda: nn.Conv2d(3, 2, 1)(torch.rand(2, 1, 4, 4)), "data.channels"),
        (lambda: nn.BatchNorm1d(3)(torch.rand(1, 3)), "--batch-size"),
        (lambda: torch.rand(2, requires_grad=True).mul_(2), "changes its input in place"),
        (lambda: torch.rand(2).sum().backward(), "no gradient reaches"),
        (lambda: nn.Linear(3, 2).double()(torch.rand(2, 3)), "two kinds"),
        (lambda: nn.Linear(3, 2).half()(torch.rand(2, 3)), "two kinds"),
        (lambda: torch.rand(2, 3, 4).transpose(0, 2).view(4, 6), "flatten"),
        (lambda: nn.AvgPool2d(QUARTER)(torch.rand(1, 3, 8, 8)), "write // in place of /"),
        (lambda: nn.Linear(QUARTER, 2), "write // in place of /"),
        (lambda: nn.Bilinear(1, 1, 1)(torch.rand(1, 1)), "calls the model with the images alone"),
    ],
)
def test_advice_fits_what_torch_really_says(call, advice: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises((RuntimeError, ValueError, TypeError)) as found:
        call()
    assert advice in advice_for(found.value), found.value


def test_a_gpu_that_is_not_here_has_its_advice() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises((RuntimeError, AssertionError)) as found:
        torch.zeros(1).cuda()
    assert "--device" in advice_for(found.value)
    assert len(ADVICE) == len({pattern for pattern, _ in ADVICE})


def test_settings_are_not_taken_for_the_images(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def wide(config): return config['width']\nwide(4)\n")
    with pytest.raises(HardenerError, match="not subscriptable") as found:
        load_model(str(tmp_path / "net.py"), num_classes=2)
    assert "tensor of images" not in str(found.value)


def test_an_argument_that_a_package_no_longer_takes_names_the_package() -> None:
    with pytest.raises(TypeError) as found:
        nn.Linear(3, 3, drop=1)  # type: ignore[call-arg]
    assert advice_for(found.value) == ""
    place = place_of(found.value)
    assert place is not None
    place.frame.f_globals["Linear"] = nn.Linear
    assert advice_for(found.value, place) == "the file was written for another version of torch, whose Linear took drop"
    del place.frame.f_globals["Linear"]
