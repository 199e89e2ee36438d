"""Runs whose climbs start from those of the epoch before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_run import Recorder, request, rows, weights
from torch import Tensor

from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError, Interrupted
from hardener.training.launch import check_processes
from hardener.training.run import resume, train
from hardener.vicinity.prior import Prior

PRIOR = ("vicinity.adversarial.origin=prior", "vicinity.adversarial.agreement=10")


def test_what_a_prior_does_not_go_with_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for sets, said in (
        (("norm=l2", "eps=0.5", "origin=prior"), "keeps each pixel's share of eps, which is for linf and not for l2"),
        (("origin=nothing",), "'noise', 'class' or 'prior'"),
    ):
        with pytest.raises(HardenerError, match=said):
            load_recipe("n-fgsm", [f"vicinity.adversarial.{each}" for each in sets])
    with pytest.raises(HardenerError, match="keeps perturbations of one size: it does not go with resize"):
        load_recipe("n-fgsm", [PRIOR[0], "resize.first=0.5"])
    for setting in (PRIOR[1], "vicinity.adversarial.running_statistics=true"):
        with pytest.raises(HardenerError, match="method trades has a loss and passes of its own: no agreement or"):
            load_recipe("trades", [setting])
    recipe = load_recipe("n-fgsm", PRIOR)
    check_processes(recipe)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(HardenerError, match="torchrun started 2: train with one, or with --set .*origin=noise"):
        check_processes(recipe)
    check_processes(load_recipe("n-fgsm", [PRIOR[1]]))


def test_a_run_that_is_resumed_takes_up_the_perturbations_bit_for_bit(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    sets = (*PRIOR, "epochs=4", "augment.flip=false", "augment.shift=0")
    straight = train(request(model_file, image_folder, tmp_path / "straight", "fast-at", sets), Recorder())
    with pytest.raises(Interrupted):
        train(request(model_file, image_folder, tmp_path / "cut", "fast-at", sets), Recorder(interrupt_at=50))
    (cut,) = (tmp_path / "cut").iterdir()
    kept = torch.load(RunFolder(cut).checkpoint, weights_only=True)["method"]["prior.kept"]
    assert kept.dtype == torch.int8
    assert bool((kept != -128).any())
    resumed = resume(RunFolder(cut), Recorder())
    assert rows(resumed) == rows(straight)
    assert all(torch.equal(value, weights(straight)[name]) for name, value in weights(resumed).items())


def test_a_prior_follows_its_image_through_the_order_of_epochs(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image's label and place are the same pair in each epoch, though minibatches are shuffled."""
    seen: list[tuple[int, int]] = []
    keep = Prior.keep

    def noted(prior: Prior, perturbations: Tensor, eps: float) -> None:
        seen.extend((int(place), len(perturbations)) for place in prior.places)
        keep(prior, perturbations, eps)

    monkeypatch.setattr(Prior, "keep", noted)
    train(request(model_file, image_folder, tmp_path / "runs", "fast-at", (*PRIOR, "epochs=2")), Recorder())
    places = [place for place, _ in seen]
    half = len(places) // 2
    assert sorted(places[:half]) == sorted(places[half:]) == list(range(half))
    assert places[:half] != places[half:]
