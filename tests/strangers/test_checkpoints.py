"""Checkpoints of all kinds: each gives the network the very weights that it was made of, or is refused with the way
out, which works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from checkpoints import TABLE, Checkpoint
from torch import Tensor, nn

from hardener.errors import HardenerError
from hardener.models.weights import Loaded, Start, load_weights

CLASSES = 3


class Net(nn.Module):
    """A small one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.body = nn.Conv2d(6, 6, 3)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        found: Tensor = self.fc(self.body(self.stem(images)).mean(dim=(2, 3)))
        return found


def fresh(seed: int) -> Net:
    torch.manual_seed(seed)
    made = Net()
    made.stem[1].running_mean.uniform_(0, 1)  # type: ignore[operator]
    return made


def load(network: nn.Module, path: Path, words: str = "") -> Loaded:
    given = words.split()
    which = given[given.index("--weights") + 1] if "--weights" in given else None
    start = Start(path, "--allow-pickle" in given, which)
    return load_weights(network, start, fresh_head="fc" if "--replace-head" in given else (), heads=("fc",))


@pytest.mark.parametrize("given", TABLE, ids=lambda given: given.name)
def test_a_checkpoint_is_loaded_whole_or_refused_with_the_way_out(given: Checkpoint, tmp_path: Path) -> None:
    source, target = fresh(1), fresh(2)
    path = given.make(source, tmp_path)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    what, _, options = given.expect.partition(" with ")
    if given.expect != "loads":
        with pytest.raises(HardenerError) as told:
            load(target, path)
        assert str(tmp_path) in str(told.value), "the file is named"
        assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())
        if what != "loads":
            text = given.expect.removeprefix("refused: ")
            assert text in str(told.value)
            assert "--allow-pickle" not in str(told.value), "it would not help"
            return
        assert options.split()[0] in str(told.value)
    loaded = load(target, path, options)
    assert re.search(given.says, " ".join(loaded.remarks)), loaded.remarks
    assert given.says or not loaded.remarks
    replaced = ("fc.",) if "--replace-head" in options else ()
    own = source.state_dict()
    for name, value in target.state_dict().items():
        expected = before[name] if name.startswith(replaced) and replaced else own[name]
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, expected), name


def test_the_table_is_long_and_its_names_are_different() -> None:
    assert len({given.name for given in TABLE}) == len(TABLE) >= 60
