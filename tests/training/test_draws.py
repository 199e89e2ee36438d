"""What a network itself draws at random in training: blocks that it leaves out, by whatever generator."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import write_image_folder
from test_ranks import in_two
from test_run import Recorder, request, rows, weights
from torch import nn

from hardener.config.run_folder import RunFolder
from hardener.errors import Interrupted
from hardener.models.load import load_model
from hardener.models.normalize import ImageClassifier
from hardener.training.parallel import leaves_unused
from hardener.training.prepare import prepare
from hardener.training.run import resume, train

LEAVES_OUT = """
import random
import numpy as np
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.draw = draw
        self.body = nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, images):
        if self.training and self.draw() < 0.5:
            return images
        return images + self.body(images)

def build_model(num_classes, in_channels=1):
    first = nn.Conv2d(in_channels, 6, 3, padding=1)
    blocks = [Block(draw) for draw in (DRAWS)]
    return nn.Sequential(first, nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, num_classes))
"""


@pytest.fixture
def leaves_out(tmp_path: Path) -> Path:
    """A network that leaves out blocks by the generators of Python and of numpy."""
    path = tmp_path / "leaves_out.py"
    path.write_text(LEAVES_OUT.replace("DRAWS", "random.random, np.random.rand"))
    return path


def test_what_a_network_draws_by_numpy_or_python_follows_from_the_seed_and_resumes_bit_for_bit(
    leaves_out: Path, image_folder: Path, tmp_path: Path
) -> None:
    straight = train(request(leaves_out, image_folder, tmp_path / "straight", "natural"), Recorder())
    with pytest.raises(Interrupted):
        train(request(leaves_out, image_folder, tmp_path / "cut", "natural"), Recorder(interrupt_at=25))
    (cut,) = (tmp_path / "cut").iterdir()
    random.seed(5)  # the state of this process must not matter
    np.random.seed(5)
    resumed = resume(RunFolder(cut), Recorder())
    assert rows(resumed) == rows(straight)
    assert all(torch.equal(value, weights(straight)[name]) for name, value in weights(resumed).items())


def test_what_a_program_draws_after_training_is_as_without_it(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    def drawn() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(()))]

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    train(request(model_file, image_folder, tmp_path / "runs", "natural"), Recorder())
    after = drawn()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    assert after == drawn()


def test_a_block_that_is_left_out_at_random_counts_as_unused_and_leaves_no_trace(leaves_out: Path) -> None:
    """Two processes would wait for gradients of it that never come."""
    network = load_model(str(leaves_out), num_classes=2, channels=1).network
    classifier = ImageClassifier(network, mean=(0.5,), std=(0.5,), classes=("cat", "dog"))
    before = random.getstate(), torch.get_rng_state()
    kept = {name: value.clone() for name, value in classifier.state_dict().items()}
    images = torch.zeros(2, 1, 8, 8)
    assert leaves_unused(classifier, images)
    assert before[0] == random.getstate()
    assert torch.equal(before[1], torch.get_rng_state())
    assert all(torch.equal(value, kept[name]) for name, value in classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in classifier.parameters())
    whole = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Dropout(0.5), nn.Flatten(), nn.Linear(216, 2))
    assert not leaves_unused(ImageClassifier(whole, mean=(0.5,), std=(0.5,), classes=("cat", "dog")), images)


def test_a_block_that_is_left_out_at_random_is_not_said_to_learn_nothing(image_folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "leaves_out.py"
    model.write_text(LEAVES_OUT.replace("DRAWS", "lambda: 0.0 if float(torch.rand(())) < 0.7 else 1.0,"))
    for seed in range(5):
        told = Recorder()
        prepare(request(model, image_folder, tmp_path, "natural", seed=seed), told)
        assert not [line for line in told.warned if line.startswith("no gradient reaches")]


@pytest.mark.slow
def test_two_processes_train_a_network_that_leaves_out_blocks(leaves_out: Path, tmp_path: Path) -> None:
    data = write_image_folder(tmp_path / "imgs", {"cat": 22, "dog": 21})
    words = ["-m", "hardener", "train", str(leaves_out), "--data", str(data), "--device", "cpu", "--recipe", "natural"]
    found = in_two(*words, "--out", str(tmp_path / "runs"), "--epochs", "3", "--batch-size", "5")
    assert found.returncode == 0, found.stderr
