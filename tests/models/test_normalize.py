"""The one door: no empty batch goes through it, and logits come out of it wherever the network puts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from hardener.models.normalize import ImageClassifier
from hardener.models.onnx.program import onnx_program


class Viewing(nn.Module):
    """Fails on an empty batch, as `.view(0, -1)` does."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc(x.view(x.size(0), -1))
        return found


def classifier(network: nn.Module, **options: Any) -> ImageClassifier:
    return ImageClassifier(network, mean=options.get("mean", ()), std=options.get("std", ()), classes="abc")


def test_an_empty_batch_never_reaches_the_network() -> None:
    empty = torch.rand(0, 3, 2, 2)
    with pytest.raises(RuntimeError):
        Viewing()(empty)
    for options in ({}, {"mean": [0.5] * 3, "std": [0.2] * 3}):
        one = classifier(Viewing(), **options)
        assert one(empty).shape == (0, 3)
        assert one(empty).argmax(dim=1).shape == (0,)
        inputs = empty.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(one(inputs).sum(), inputs)
        assert gradient.shape == empty.shape


def test_the_guard_breaks_no_compiled_graph() -> None:
    one = classifier(Viewing())
    torch._dynamo.reset()
    compiled = torch.compile(one, backend="eager", fullgraph=True, dynamic=True)
    for count in (2, 5, 1, 0):
        images = torch.rand(count, 3, 2, 2)
        torch.testing.assert_close(compiled(images), one(images))


def test_the_guard_leaves_an_exported_batch_open(tmp_path: Path) -> None:
    one = classifier(Viewing()).eval()
    program = onnx_program(one, torch.rand(2, 3, 2, 2), outputs=["logits"])
    assert not {"If", "Loop"} & {node.op_type for node in program.graph.node}
    (tmp_path / "net.onnx").write_bytes(program.SerializeToString())
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    for count in (1, 4):
        images = torch.rand(count, 3, 2, 2)
        (logits,) = session.run(None, {"images": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), one(images))


def test_images_are_given_as_the_network_needs_them_and_stay_as_they_are() -> None:
    class Writing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x.is_contiguous()
            x.mul_(0)
            return x.flatten(1)[:, :3]

    one = classifier(Writing())
    one.contiguous = one.writes = True
    images = torch.rand(2, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    before = images.clone()
    assert one(images).abs().sum() == 0
    assert torch.equal(images, before)


def test_one_image_without_its_batch_and_maps_of_one_pixel_are_logits() -> None:
    class Shaped(nn.Module):
        def __init__(self, *shape: int) -> None:
            super().__init__()
            self.shape = shape

        def forward(self, x: Tensor) -> Tensor:
            return x.new_zeros(self.shape)

    one = torch.rand(1, 3, 2, 2)
    assert classifier(Shaped(3))(one).shape == (1, 3)
    assert classifier(Shaped(1, 3, 1, 1))(one).shape == (1, 3)
    assert classifier(Shaped(2, 3, 1, 1))(torch.rand(2, 3, 2, 2)).shape == (2, 3)
