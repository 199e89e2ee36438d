"""Which images come in which order, from the middle of an epoch on and for several processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from oracles import write_image_folder
from test_run import Recorder, request
from torch import Tensor

from hardener.config.recipe import load_recipe
from hardener.config.schema import Recipe
from hardener.data.loader import LoadedImages
from hardener.training.balance import class_weights, even_order, first_of_each
from hardener.training.loop import Minibatch
from hardener.training.order import DataOrder, single_step
from hardener.training.prepare import prepare
from hardener.training.state import Progress

CPU = torch.device("cpu")


@pytest.fixture
def images(model_file: Path, image_folder: Path, tmp_path: Path) -> LoadedImages:
    """Twenty images, no two alike."""
    return prepare(request(model_file, image_folder, tmp_path), Recorder()).material.train_images


def recipe_of(*sets: str) -> Recipe:
    """A recipe whose `augment` leaves nothing to the images."""
    return load_recipe("natural", ["augment.flip=false", *sets])


def batches(images: LoadedImages, *sets: str, place: int = 0) -> list[Minibatch]:
    order = DataOrder(images, recipe_of(*sets), seed=3, device=CPU)
    return list(order.batches(Progress(1, place, torch.zeros(()))))


def sorted_rows(parts: list[Tensor]) -> list[list[float]]:
    return sorted(torch.cat(parts).flatten(1).tolist())


@pytest.mark.parametrize(
    "own",
    [
        ("data.balance=none", "augment.flip=true"),
        ("data.balance=sampler", "augment.flip=true"),
        tuple(f"augment.{key}=true" for key in ("crop", "rand", "trivial", "augmix", "erase", "patch_gaussian")),
    ],
)
def test_from_any_place_on_an_epoch_is_the_rest_of_the_whole_draws_included(
    images: LoadedImages, own: tuple[str, ...]
) -> None:
    whole = batches(images, "batch_size=6", *own)
    assert [len(batch.images) for batch in whole] == [batch.whole for batch in whole] == [6, 6, 6, 2]
    for place, left in ((6, whole[1:]), (18, whole[3:]), (20, [])):
        rest = batches(images, "batch_size=6", *own, place=place)
        assert len(rest) == len(left)
        assert all(torch.equal(ours.images, theirs.images) for ours, theirs in zip(rest, left, strict=True))
        assert all(torch.equal(ours.labels, theirs.labels) for ours, theirs in zip(rest, left, strict=True))


def test_an_epoch_has_each_image_once_and_the_next_one_has_them_in_another_order(images: LoadedImages) -> None:
    still = ("batch_size=6", "augment.shift=0")
    order = DataOrder(images, recipe_of(*still), seed=3, device=CPU)
    first, second = ([batch.images for batch in order.batches(Progress.start_of(epoch, CPU))] for epoch in (0, 1))
    assert sorted_rows(first) == sorted_rows(second) == sorted_rows([images.take(range(20))[0] / 255])
    assert not torch.equal(torch.cat(first), torch.cat(second))
    assert order.done(Progress(2, 6, torch.zeros(()))) == 46


@pytest.mark.parametrize("balance", ["none", "sampler"])
def test_two_processes_share_the_minibatch_that_one_would_have(
    images: LoadedImages, balance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = ("augment.shift=0", f"data.balance={balance}")
    alone = batches(images, "batch_size=12", *still)
    monkeypatch.setenv("WORLD_SIZE", "2")
    shared = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        shared.append(batches(images, "batch_size=6", *still))
    assert [batch.whole for batch in alone] == [12, 8]
    for whole, *parts in zip(alone, *shared, strict=True):
        assert torch.equal(whole.images, torch.cat([part.images for part in parts]))
        assert {part.whole for part in parts} == {whole.whole}


@pytest.mark.parametrize(
    ("batch_size", "world", "usable"),
    [(20, 1, 20), (19, 1, 19), (6, 1, 20), (64, 1, 20), (9, 2, 18), (8, 2, 20), (6, 3, 18), (5, 3, 15)],
)
def test_a_last_minibatch_that_leaves_a_process_fewer_than_two_images_is_left_out(
    batch_size: int, world: int, usable: int, images: LoadedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(world))
    order = DataOrder(images, recipe_of(f"batch_size={batch_size}"), seed=0, device=CPU)
    assert order.usable == usable


def test_an_even_order_shows_all_classes_alike_and_no_image_of_one_more_than_once_too_often() -> None:
    labels = torch.tensor([0] * 80 + [2] * 2 + [1] * 18)
    orders = [even_order(labels, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    for order in orders:
        assert len(order) == 100
        assert sorted(torch.bincount(labels[order]).tolist()) == [33, 33, 34]
        times = torch.bincount(order, minlength=100)
        for label in range(3):
            own = times[labels == label]
            assert own.max() - own.min() <= 1
    assert len({tuple(sorted(order[labels[order] == 0].tolist())) for order in orders}) == 2


def test_weights_make_all_classes_count_alike() -> None:
    labels = torch.tensor([0] * 80 + [2] * 2 + [1] * 18)
    weights = class_weights(labels, 3)
    totals = [float(weights[labels[labels == label]].sum()) for label in range(3)]
    assert totals == pytest.approx([100 / 3] * 3)
    with pytest.raises(AssertionError, match="a class without images has no weight"):
        class_weights(labels, 4)


def test_any_seed_that_may_be_asked_for_gives_an_order(images: LoadedImages) -> None:
    order = DataOrder(images, recipe_of(), seed=2**63 - 1, device=CPU)
    assert sum(len(batch.labels) for batch in order.batches(Progress(1, 0, torch.zeros(())))) == 20


def test_the_first_of_each_class_come_before_the_second_ones() -> None:
    labels, order = torch.tensor([0, 0, 0, 0, 1, 1, 2]), torch.tensor([3, 1, 6, 0, 5, 2, 4])
    assert first_of_each(labels, order).tolist() == [3, 6, 5, 1, 4, 0, 2]


@pytest.mark.parametrize(
    ("images", "world", "said"),
    [(100, 1, "minibatches hold 128 images and there are 100: the run has 3 steps. --batch-size 8 makes"),
     (128, 1, "--batch-size 16 makes"), (200, 2, "hold 256 images and there are 200: the run"),
     (129, 1, None), (20, 1, None)],
)  # fmt: skip
def test_an_epoch_of_a_single_step_is_told_with_a_size_of_minibatch_that_makes_more(
    images: int, world: int, said: str | None
) -> None:
    told = single_step(recipe_of("epochs=3", "batch_size=128"), images, world)
    assert (told is None) == (said is None)
    assert said is None or said in str(told)


def test_a_run_warns_of_epochs_of_a_single_step(model_file: Path, tmp_path: Path) -> None:
    data, told = write_image_folder(tmp_path / "many", {"cat": 30, "dog": 30}), Recorder()
    prepare(request(model_file, data, tmp_path, "natural", ("batch_size=128", "epochs=1")), told)
    assert [line for line in told.warned if "the run has 1 step. --batch-size 4 makes more of them" in line]
