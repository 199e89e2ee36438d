"""A small part of what `bench/fuzz.py` runs by the thousand: odd and damaged input is taken, or refused in words."""

from __future__ import annotations

from pathlib import Path
from random import Random

import fuzz
import fuzz_groups
import numpy as np
import pytest
import torch
from fuzz_home import Home

from hardener.config.recipe import load_recipe
from hardener.errors import HardenerError
from hardener.models.checkpoints.weights import load_weights
from hardener.statistics.paired import read_outcomes


def test_odd_input_is_taken_or_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDENER_CACHE", "")  # set by the cases' home, and restored after them
    groups = [name for name in fuzz_groups.GROUPS if name != "commands"]
    ended = list(fuzz.run(60, 20260101, tmp_path, groups))
    assert {item.group for item in ended} == set(groups)
    assert [item for item in ended if item.ending not in {"taken", "refused"}] == []
    assert {item.ending for item in ended} == {"taken", "refused"}


def test_a_pickle_that_runs_code_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpickles(draw: Random, home: Home) -> None:
        file = home.file("w.pt")
        torch.save(home.bomb(), file)
        torch.load(file, weights_only=False)

    monkeypatch.setenv("HARDENER_CACHE", "")
    monkeypatch.setitem(fuzz_groups.GROUPS, "unpickles", (unpickles, 1))
    assert [item.ending for item in fuzz.run(1, 1, tmp_path, ["unpickles"])] == ["unpickled"]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("epochs=true", "epochs: expected a number or a word; got True"),
        ("optimizer.lr=false", "optimizer.lr: expected a number or a word; got False"),
        ("resize=true", "resize: it holds settings of its own, such as resize.first=VALUE; got True"),
        ("optimizer=3", "optimizer: it holds settings of its own, such as optimizer.name=VALUE; got 3"),
        ("epochs=1e999", "epochs: Input should be"),
        ("optimizer.lr=.inf", "optimizer.lr: Input should be a finite number"),
        ("optimizer.lr=.nan", "optimizer.lr: Input should be a finite number"),
        ("batch_size=1000000000000000000000000000000", "batch_size: a number of 31 digits is too large"),
        ("epochs=-3", "epochs: Input should be greater than"),
        ("data.image_size=2026-01-01", "an image size is 224"),
        ("data.image_size=[true, 3]", "an image size is 224"),
        ("data.image_size=2.5", "an image size is 224"),
        ("data.image_size=70000", "an image size is 224"),
    ],
)
def test_numbers_of_the_wrong_kind_are_told(setting: str, told: str) -> None:
    with pytest.raises(HardenerError, match=told):
        load_recipe("sprout", [setting])


def test_switches_still_take_what_yaml_makes_of_on_and_off() -> None:
    assert load_recipe("sprout", ["compile=on", "data.cache=off"]).compile == "on"


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")  # torch warns once a process, whoever is first
@pytest.mark.parametrize("kind", ["sparse", "quantised", "complex", "on no device"])
def test_tensors_that_are_no_plain_ones_are_named(kind: str, tmp_path: Path) -> None:
    network, value = torch.nn.Linear(2, 2), torch.ones(2, 2)
    odd = {
        "sparse": lambda: value.to_sparse(),
        "quantised": lambda: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
        "complex": lambda: value.to(torch.complex64),
        "on no device": lambda: torch.empty(2, 2, device="meta"),
    }[kind]()
    torch.save({"weight": odd, "bias": torch.zeros(2)}, tmp_path / "w.pt")
    with pytest.raises(HardenerError, match=f"weight is {kind}. Save dense tensors of real numbers"):
        load_weights(network, tmp_path / "w.pt")


@pytest.mark.parametrize("column", [np.zeros(()), np.zeros((2, 2)), np.full(2, np.nan), np.array(["yes", "no"])])
def test_results_of_images_that_are_no_yes_or_no_are_refused(column: object, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", path=["a", "b"], clean=column, robust=[True, False])  # type: ignore[arg-type]
    with pytest.raises(HardenerError, match="does not hold the results of each image"):
        read_outcomes(tmp_path / "a.npz")
