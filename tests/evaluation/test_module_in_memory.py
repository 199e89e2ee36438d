"""A module and images that somebody holds: evaluated as a run is, left as they were, nothing written unasked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles import linear_problem
from torch import Tensor, nn

from hardener.config.evaluation_record import Evaluation
from hardener.errors import HardenerError
from hardener.evaluation.plan import EvaluateRequest
from hardener.evaluation.run import evaluate_module
from hardener.evaluation.sample import HeldInMemory, draw, hold
from hardener.evaluation.subject import memory_subject
from hardener.progress import Silent


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3)
    )


def problem(count: int = 30) -> tuple[nn.Sequential, Tensor, Tensor]:
    model = network()
    images = torch.rand(count, 1, 6, 6)
    with torch.no_grad():
        labels = model.eval()(images).argmax(dim=1)
    return model, images, labels


def evaluate(model: nn.Module, held: HeldInMemory, *, measures: bool = True, **asked: Any) -> Evaluation:
    request = EvaluateRequest(**({"attacks": ("pgd",)} | asked))
    found = evaluate_module(memory_subject(model, held), request, Silent(), measures=measures)
    assert found is not None
    return found


def test_its_record_says_what_was_attacked_and_where_it_lay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, images, labels = problem()
    subject = memory_subject(model, hold(images, labels), classes=("cat", "cow", "dog"), name="mine")
    found = evaluate_module(subject, EvaluateRequest(eps=0.02, suite="quick", precision="float32"), Silent())
    assert found is not None
    assert (found.model.name, found.model.run, found.model.recipe) == ("mine", None, None)
    assert (found.data.root, found.data.split, found.data.images_in_split) == ("in memory", "all", 30)
    assert found.clean_accuracy == 1.0
    assert found.robust_accuracy < 1.0
    assert {row.name for row in found.per_class} <= {"cat", "cow", "dog"}
    assert [attack.name for attack in found.attacks][:2] == ["pgd", "pgd"]
    assert found.checks
    assert found.calibration is not None
    assert Evaluation.model_validate_json(found.model_dump_json(by_alias=True)) == found
    assert list(tmp_path.iterdir()) == [], "nothing is written unless asked"


def test_on_a_linear_model_it_finds_the_share_beyond_eps() -> None:
    model, images, labels = linear_problem(60, (1, 4, 4), seed=2)
    distance = model.margin(images).detach().abs() / model.weight.detach().abs().sum()
    eps = float(distance.median()) + 1e-4
    found = evaluate(model, hold(images, labels), eps=eps, attacks=("fgsm",))
    assert found.robust_accuracy == int((distance > eps).sum()) / 60


def test_bytes_and_the_fractions_that_they_mean_give_the_same_figures() -> None:
    model, images, _ = problem()
    grey = (images * 255).round().to(torch.uint8)
    with torch.no_grad():
        labels = model(grey.float() / 255).argmax(dim=1)
    asked: dict[str, Any] = {"eps": 0.02, "precision": "float32"}
    by_bytes = evaluate(model, hold(grey.numpy(), labels.numpy()), **asked)
    by_floats = evaluate(model, hold(grey.double() / 255, labels.to(torch.int32)), **asked)
    for found in (by_bytes, by_floats):
        assert found.samples == 30
    assert by_bytes.robust_accuracy == by_floats.robust_accuracy
    assert by_bytes.model.fingerprint == by_floats.model.fingerprint
    assert by_bytes.data.fingerprint != by_floats.data.fingerprint


def test_the_module_is_left_as_it_was_found() -> None:
    model, images, labels = problem()
    model.train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kept = images.clone()
    evaluate(model, hold(images, labels), eps=0.02)
    assert [part.training for part in model] == [True, False, True, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(images, kept)


def test_the_audit_alone_measures_nothing_else() -> None:
    model, images, labels = problem()
    held = hold(images, labels)
    whole, only = (
        evaluate(model, held, eps=0.02, precision="float32", measures=measures) for measures in (True, False)
    )
    assert only.checks == whole.checks
    assert only.robust_accuracy == whole.robust_accuracy
    assert whole.calibration is not None
    assert only.calibration is None


def test_files_are_written_where_they_are_asked_for(tmp_path: Path) -> None:
    model, images, labels = problem()
    target = tmp_path / "mine.json"
    evaluate(model, hold(images, labels), eps=0.02, samples=5, json_file=target)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.json", "mine.npz", "mine.parquet", "mine.html"}
    record = Evaluation.model_validate(json.loads(target.read_text()))
    rows = np.load(tmp_path / str(record.per_image))
    drawn = draw(hold(images, labels), 5, seed=0)
    assert rows["path"].tolist() == list(drawn.paths)
    assert all(
        labels[int(path.removeprefix("image "))] == label
        for path, label in zip(rows["path"], rows["label"], strict=True)
    )


def test_a_sample_is_drawn_by_the_seed_in_the_order_in_which_images_are_held() -> None:
    _, images, labels = problem()
    held = hold(images, labels)
    one, same, other = draw(held, 8, 0), draw(held, 8, 0), draw(held, 8, 1)
    places = [int(path.removeprefix("image ")) for path in one.paths]
    assert places == sorted(places)
    assert torch.equal(one.pixels, images[places])
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert len(draw(held, 1000, 0)) == 30


WHOLE, FOUR = torch.rand(4, 1, 4, 4), torch.zeros(4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (WHOLE[0, 0], FOUR, r"images must have the shape \(N, C, H, W\).*got \(4, 4\)"),
        (WHOLE[:0], FOUR[:0], r"with N >= 1; got \(0, 1, 4, 4\)"),
        (WHOLE, FOUR[:3], r"labels must be one whole number an image"),
        (WHOLE, FOUR.float(), "labels must be whole numbers, an index into the classes; got torch.float32"),
        (0 * WHOLE + 255, FOUR, "from 255 to 255. Divide by 255, or pass uint8"),
        (WHOLE - 1, FOUR, "belongs into the model, so that eps means the same"),
        (torch.nan * WHOLE, FOUR, r"images must lie in \[0, 1\]; got values"),
        (WHOLE.long(), FOUR, r"images must be float in \[0, 1\] or uint8; got torch.int64"),
    ],
)
def test_images_and_labels_that_cannot_be_meant_are_refused(images: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(HardenerError, match=message):
        hold(images, labels)


def test_a_module_that_does_not_fit_its_images_is_refused() -> None:
    model, images, labels = problem()
    held = hold(images, labels)
    with pytest.raises(HardenerError, match="the model answers 3 logits an image, and 2 classes are named"):
        memory_subject(model, held, classes=("cat", "dog"))
    with pytest.raises(HardenerError, match=r"labels must lie in \[0, 3\), the model's classes; got 0 to 3"):
        memory_subject(model, hold(images, torch.arange(30) % 4))
    with pytest.raises(
        HardenerError, match=r"must answer 2 images of \(1, 6, 6\) with logits .* it answered \(2, 1, 6, 6\)"
    ):
        memory_subject(nn.Identity(), held)
    with pytest.raises(HardenerError, match="unknown attack 'pdg'"):
        evaluate(model, held, attacks=("pdg",))


class Viewing(nn.Module):
    """Takes no images in channels_last, and no empty batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        found: Tensor = self.fc(x.view(x.size(0), -1))
        return found


@pytest.mark.parametrize("right", [0, 3, 19])
def test_a_network_that_flattens_by_view_is_evaluated_however_few_images_it_gets_right(right: int) -> None:
    model, images = Viewing(), torch.rand(24, 1, 6, 6)
    with torch.no_grad():
        answers = model(images).argmax(dim=1)
    labels = torch.where(torch.arange(24) < right, answers, (answers + 1) % 3)
    found = evaluate(model, hold(images, labels), attacks=("pgd", "square"), eps=0.05, precision="float32")
    assert found.clean_accuracy == right / 24
    assert found.checks


class Writing(nn.Module):
    """Changes its input in place, or a copy of it."""

    def __init__(self, *, copies: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers, self.copies = network(), copies

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers((x.clone() if self.copies else x).mul_(0.5))
        return found


def test_a_network_that_writes_into_its_input_changes_no_image_and_no_figure() -> None:
    images, labels = torch.rand(30, 1, 6, 6), torch.arange(30) % 3
    before = images.clone()
    records = [
        evaluate(Writing(copies=copies), hold(images, labels), attacks=("pgd",), eps=0.05, precision="float32")
        for copies in (True, False)
    ]
    assert torch.equal(images, before)
    one, other = ((record.clean_accuracy, record.robust_accuracy) for record in records)
    assert one == other


def test_of_uneven_classes_the_mean_over_classes_stands_beside_the_accuracy() -> None:
    model, images, _ = problem(48)
    labels = torch.tensor([0] * 38 + [1] * 6 + [2] * 4)
    found = evaluate(model, hold(images, labels), eps=0.02, attacks=("fgsm",), measures=False)
    assert found.balanced is not None
    for name in ("clean_accuracy", "robust_accuracy"):
        each = [getattr(row, name) for row in found.per_class]
        assert getattr(found.balanced, name) == pytest.approx(sum(each) / 3)
    assert found.balanced.classes == len(found.per_class) == 3
    even = evaluate(model, hold(images, torch.arange(48) % 3), eps=0.02, attacks=("fgsm",), measures=False)
    assert even.balanced is None
    assert len(even.per_class) == 3
