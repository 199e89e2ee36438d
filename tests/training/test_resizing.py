"""Progressive resizing: which size an epoch has, and runs that are stopped while images grow."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_run import Recorder, request, rows, weights
from torch import nn

from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.config.schema import Resize
from hardener.data.loader import ImageShape
from hardener.errors import HardenerError, Interrupted
from hardener.models.normalize import ImageClassifier
from hardener.training.resizing import check_smallest, resized, size_in
from hardener.training.run import resume, train


def test_images_grow_evenly_in_few_sizes_and_then_stay() -> None:
    sizes = [size_in(Resize(first=0.5, full=0.5), epoch, 8, 64, 30) for epoch in range(8)]
    assert [height for height, _ in sizes] == [32, 40, 48, 56, 64, 64, 64, 64]
    assert [width for _, width in sizes] == [16, 16, 24, 24, 30, 30, 30, 30]


def test_a_reduced_image_has_the_mean_of_the_whole_one() -> None:
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    small = resized(images, (8, 8))
    assert small.shape == (2, 3, 8, 8)
    torch.testing.assert_close(small.mean((2, 3)), images.mean((2, 3)), atol=0.02, rtol=0)
    assert resized(images, (16, 16)) is images


@pytest.mark.slow
@pytest.mark.long
def test_a_run_that_is_stopped_while_images_grow_is_the_straight_one(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    sets = ("resize.first=0.5", "resize.full=1", "data.image_size=16", "epochs=2")
    straight = train(request(model_file, image_folder, tmp_path / "a", "natural", sets), Recorder())
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path / "b", "natural", sets, name="r"), Recorder(10))
    resumed = resume(RunFolder(tmp_path / "b" / "r"), Recorder(), device="cpu")
    ours, theirs = weights(straight), weights(resumed)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert rows(straight) == rows(resumed)


def test_a_network_that_takes_its_own_size_alone_is_refused_in_words() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 2))
    classifier = ImageClassifier(network, mean=[], std=[], classes=["a", "b"])
    recipe = load_recipe("natural", ["resize.first=0.5"])
    with pytest.raises(HardenerError, match="begins on images of 8x8, which the network does not take: RuntimeError"):
        check_smallest(classifier, recipe, ImageShape(16, 16, 1))
