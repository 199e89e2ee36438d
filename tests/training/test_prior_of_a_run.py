"""Runs whose climbs start from those of the epoch before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_run import Recorder, request, rows, weights
from test_training_engine import script_validation
from torch import Tensor

from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.data.data_set import read_data_set
from hardener.data.loader import ImageShape, load_images, shape_of
from hardener.errors import HardenerError, Interrupted
from hardener.training import build
from hardener.training.build import check_prior
from hardener.training.run import resume, train
from hardener.vicinity.prior import Prior
from hardener.vicinity.worst_point import WorstPoint

BALL = "vicinity.adversarial."
PRIOR = ("vicinity.adversarial.origin=prior", "vicinity.adversarial.agreement=10")


@pytest.mark.parametrize(
    ("recipe", "sets", "said"),
    [
        ("fast-at", (BALL + "norm=l2", BALL + "eps=0.5", PRIOR[0]), "share of eps, which is for linf and not for l2"),
        ("fast-at", (BALL + "origin=nothing",), "'noise', 'class' or 'prior'"),
        ("n-fgsm", (PRIOR[0],), "has to be in the ball: set vicinity.adversarial.project=true as well"),
        ("fast-at", (PRIOR[0], "resize.first=0.5"), "keeps perturbations of one size: it does not go with resize"),
        ("fast-at", (PRIOR[0], "vicinity.mixup_alpha=0.2"), "of each image on its own: no vicinity.mixup_alpha"),
        ("fast-at", (BALL + "agreement_by=divergence",), "set vicinity.adversarial.agreement as well"),
        ("trades", (PRIOR[1],), "method trades has a loss and passes of its own: no agreement or"),
        ("trades", (BALL + "running_statistics=true",), "passes of its own: no agreement or running_statistics"),
    ],
)
def test_what_a_climb_does_not_go_with_is_refused_in_words(recipe: str, sets: tuple[str, ...], said: str) -> None:
    with pytest.raises(HardenerError, match=said):
        load_recipe(recipe, sets)


def test_what_is_kept_of_each_image_has_to_fit_where_its_processes_are(
    image_folder: Path, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = read_data_set(image_folder, validation_root=None, seed=0, val_fraction=0.1, test_fraction=0.1)
    images, recipe = load_images(folder.train, ImageShape(8, 8, 1)), load_recipe("fast-at", PRIOR)
    check_prior(recipe, images)
    monkeypatch.setattr(build, "total_memory", lambda: 4 * (2 * len(images) * 64 - 1))
    check_prior(recipe, images)
    with monkeypatch.context() as several:
        several.setenv("LOCAL_WORLD_SIZE", "2")
        with pytest.raises(HardenerError, match="for each of 2 processes; .* --set .*origin=noise keeps none"):
            check_prior(recipe, images)
        check_prior(load_recipe("n-fgsm"), images)
    monkeypatch.setattr(build, "total_memory", lambda: 4 * (len(images) * 64 - 1))
    with pytest.raises(HardenerError, match=f"0.0 GB of {len(images)} images; a quarter of this machine's memory"):
        train(request(model_file, image_folder, tmp_path / "runs", "fast-at", (PRIOR[0],)), Recorder())
    assert not list((tmp_path / "runs").glob("*"))


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


@pytest.mark.parametrize("balance", ["none", "sampler"])
def test_what_is_kept_is_of_the_image_that_it_was_found_around(
    balance: str, model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels that are kept lie within a level of those that the climb ended at, less the image at that place."""
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    ends = WorstPoint.ends

    def noted(climb: WorstPoint, images: Tensor, *others: Any, prior: Prior, **named: Any) -> tuple[Tensor, Tensor]:
        found = ends(climb, images, *others, prior=prior, **named)
        seen.append((prior.places.clone(), images.clone(), prior.kept[prior.places]))
        return found

    monkeypatch.setattr(WorstPoint, "ends", noted)
    sets = (*PRIOR, "epochs=2", "augment.flip=false", "augment.shift=0", f"data.balance={balance}", "accumulate=2")
    run = train(request(model_file, image_folder, tmp_path / "runs", "fast-at", sets), Recorder())
    loaded = load_images(read_data_set(image_folder).splits["train"], shape_of(run.read_record().input))
    assert len(seen) > 4
    for places, images, _ in seen:
        torch.testing.assert_close(images, loaded.take(places)[0].float() / 255)
    met = torch.cat([places for places, _, _ in seen])
    assert met.tolist() != sorted(met.tolist())


def test_training_that_is_taken_back_climbs_from_what_was_kept_then(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script_validation(monkeypatch, [0.4, 0.5, 0.0, 0.5])
    kept: list[Tensor] = []
    ends = WorstPoint.ends

    def noted(climb: WorstPoint, *given: Any, prior: Prior, **named: Any) -> tuple[Tensor, Tensor]:
        kept.append(prior.kept.clone())
        return ends(climb, *given, prior=prior, **named)

    monkeypatch.setattr(WorstPoint, "ends", noted)
    reporter = Recorder()
    train(request(model_file, image_folder, tmp_path / "runs", "fast-at", (*PRIOR, "epochs=3")), reporter)
    assert [metrics.rolled_back for metrics in reporter.epochs] == [False, False, True, False]
    steps = len(kept) // 4
    assert torch.equal(kept[2 * steps], kept[3 * steps])
    assert not torch.equal(kept[2 * steps], kept[3 * steps - 1])
