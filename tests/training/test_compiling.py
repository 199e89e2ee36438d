"""A network that torch cannot compile, as without a C++ compiler: it is trained as it is, and that is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_run import weights
from torch import nn
from torch._dynamo.exc import InternalTorchDynamoError
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.progress import SilentTraining
from hardener.training.compiling import Compiled
from hardener.training.request import TrainRequest
from hardener.training.run import train


def test_without_a_compiler_training_is_what_it_is_uncompiled(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    bare = {key: value for key, value in os.environ.items() if key != "CXX"} | {
        "PATH": str(tmp_path),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
    }
    told = {}
    for switch in ("on", "off"):
        words = ["train", model_file, "--data", image_folder, "--recipe", "natural", "--epochs", "1", "--name", switch]
        words += ["--compile", switch, "--no-rehearsal", "--out", tmp_path, "--set", "validation.samples=4"]
        done = subprocess.run(
            [sys.executable, "-m", "hardener", *map(str, words)], env=bare, capture_output=True, text=True, check=True
        )
        told[switch] = "torch cannot compile the network here, and it is trained without, slower: " in done.stderr
    assert told == {"on": True, "off": False}
    compiled, plain = (weights(RunFolder(tmp_path / switch)) for switch in told)
    assert all(torch.equal(compiled[name], plain[name]) for name in plain)


def test_a_python_that_torch_compiles_on_not_at_all_trains_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(network: nn.Module) -> nn.Module:
        raise RuntimeError("torch.compile is not supported on Python 3.99.\nmore")

    monkeypatch.setattr(torch, "compile", refuses)
    told: list[str] = []
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    images = torch.rand(3, 1, 2, 2)
    assert torch.equal(Compiled(network, told.append)(images), network(images))
    assert told == [
        "torch cannot compile the network here, and it is trained without, slower: torch.compile is not supported on "
        "Python 3.99"
    ]


def test_by_graphs_every_step_is_begun(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA graphs write over what a pass came to, from the next step on."""
    called: list[str | None] = []

    def compiles(network: nn.Module, mode: str | None = None) -> nn.Module:
        called.append(mode)
        return network

    monkeypatch.setattr(torch, "compile", compiles)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: called.append("step"))
    for graphs, expected in (("true", ["reduce-overhead", *["step"] * 3]), ("false", [None])):
        called.clear()
        settings = ["epochs=1", "batch_size=8", "validation.samples=4", "compile=on", f"cuda_graphs={graphs}"]
        request = TrainRequest(
            str(model_file), image_folder, load_recipe("n-fgsm", settings), out=tmp_path, name=graphs
        )
        train(request, SilentTraining())
        assert called == expected


@pytest.mark.parametrize("other", ["compile=off", "network.checkpoint=true"])
def test_cuda_graphs_are_of_a_compiled_network(other: str) -> None:
    with pytest.raises(HardenerError, match=f"do not go with {other.removesuffix('=true')}. Set one of the two"):
        load_recipe("natural", ["cuda_graphs=true", other])


def test_a_fault_of_the_network_itself_is_no_fault_of_the_compiler() -> None:
    class Faulty(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise ValueError("its own")

    told: list[str] = []
    with pytest.raises(ValueError, match="its own"):
        Compiled(Faulty(), told.append)(torch.rand(3, 1, 2, 2))
    assert not told


def test_what_torch_finds_it_cannot_compile_in_the_backward_pass_names_the_way_out(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients may be compiled as late as they are first taken, when a step is half done."""

    def fails(*_: object) -> None:
        raise InternalTorchDynamoError("NoTriton: no ptxas\nmore")

    monkeypatch.setattr("hardener.training.run.train", fails)
    words = ["train", model_file, "--data", image_folder, "--out", tmp_path]
    found = CliRunner().invoke(app, list(map(str, words)))
    assert found.exit_code == 1, found.output
    assert "NoTriton: no ptxas. Train without: --compile off" in found.stderr.replace("\n", " ")
