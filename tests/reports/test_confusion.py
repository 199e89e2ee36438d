"""What is taken for what: counted, told with intervals, and named where a class is far below the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from run_folders import bits, write_evaluation, write_run

from hardener.config.confusion_record import Confused, Confusion
from hardener.config.evaluation_record import EvaluatedAttack, Evaluation, PerClass
from hardener.evaluation.failures import confusion_of
from hardener.evaluation.image_table import COLUMNS, write_table
from hardener.evaluation.robust_accuracy import RobustAccuracy
from hardener.reports.attack_lists import settings_in_words
from hardener.reports.by_class import far_below, weak_classes
from hardener.reports.confusion import confused_lines, confusion_tables
from hardener.reports.training_page import LookedBack, write_training_page
from hardener.threat import ThreatModel
from hardener.words import NO_BREAK, counted, percent

CLASSES = ("cat", "dog", "owl")


def result() -> tuple[RobustAccuracy, torch.Tensor]:
    """Six images: two stand, one was wrong untouched, two fell to owl and dog, of one it is not known to what."""
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    predictions = torch.tensor([0, 0, 1, 1, 1, 1])
    robust = torch.tensor([True, False, False, True, False, False])
    became = torch.tensor([0, 2, 1, 1, 0, -1])
    return (
        RobustAccuracy(
            ThreatModel("linf", 0.1), predictions, predictions == labels, robust,
            torch.tensor([-1, 0, -1, -1, 0, 0]), became, torch.zeros(6), [],
        ),
        labels,
    )  # fmt: skip


def test_untouched_and_turned_images_are_counted_apart() -> None:
    found = confusion_of(*result(), CLASSES)
    assert found.clean == [Confused(label="cat", became="dog", images=1)]
    assert found.turned == [
        Confused(label="cat", became="owl", images=1),
        Confused(label="dog", became="cat", images=1),
    ]


def told(tmp_path: Path, classes: list[PerClass], confusion: Confusion | None = None) -> Evaluation:
    written = write_evaluation(write_run(tmp_path, "run"), bits(90, 100), bits(40, 100))
    return written.model_copy(update={"per_class": classes, "confusion": confusion})


def of(name: str, samples: int, clean: float, robust: float) -> PerClass:
    return PerClass(name=name, samples=samples, clean_accuracy=clean, robust_accuracy=robust)


def test_the_matrix_holds_each_image_once_and_lines_have_intervals(tmp_path: Path) -> None:
    confusion = Confusion(
        clean=[Confused(label="cat", became="dog", images=2)],
        turned=[Confused(label="cat", became="dog", images=3), Confused(label="dog", became="owl", images=4)],
    )
    evaluation = told(tmp_path, [of("cat", 10, 0.8, 0.5), of("dog", 5, 1.0, 0.2)], confusion)
    tables = confusion_tables(evaluation)
    assert tables["heads"] == ["cat", "dog", "owl"]
    untouched, worst = ({row[0]: [cell[0] for cell in row[2]] for row in rows} for _, rows in tables["matrices"])
    assert untouched == {"cat": [8, 2, 0], "dog": [0, 5, 0]}
    assert worst == {"cat": [5, 5, 0], "dog": [0, 1, 4]}
    assert tables["turned"] == [("dog", 5, 4, "owl: 4 (100.0 %)"), ("cat", 8, 3, "dog: 3 (100.0 %)")]
    assert confused_lines(evaluation)[0] == "Most confused, untouched: cat taken for dog: 2 of 10 (2.5 – 55.6 %)."
    assert confused_lines(told(tmp_path / "old", evaluation.per_class)) == []


def test_images_without_an_answer_are_not_drawn_as_right(tmp_path: Path) -> None:
    confusion = Confusion(clean=[], turned=[Confused(label="dog", became="cat", images=1)])
    evaluation = told(tmp_path, [of("cat", 10, 0.7, 0.7), of("dog", 5, 1.0, 0.2)], confusion)
    tables = confusion_tables(evaluation)
    assert tables["heads"] == ["cat", "dog", "no answer"]
    untouched, worst = ({row[0]: [cell[0] for cell in row[2]] for row in rows} for _, rows in tables["matrices"])
    assert untouched == {"cat": [7, 0, 3], "dog": [0, 5, 0]}
    assert worst == {"cat": [7, 0, 3], "dog": [1, 1, 3]}
    assert tables["turned"] == [("dog", 5, 4, "no answer: 3 (75.0 %), cat: 1 (25.0 %)")]
    assert confused_lines(evaluation)[0] == "Most confused, untouched: cat without an answer: 3 of 10 (6.7 – 65.2 %)."


@pytest.mark.parametrize("wrong", [0, 3])
def test_the_page_of_a_training_counts_each_validation_image_once(wrong: int, tmp_path: Path) -> None:
    confused = [Confused(label="cat", became="dog", images=wrong)] if wrong else []
    found = LookedBack("first", "recipe sprout", {"cat": 10, "dog": 10}, confused, None, "hardener eval runs/first")
    write_training_page(found, tmp_path / "train.html", curves=tmp_path / "train.png")
    text = (tmp_path / "train.html").read_text()
    assert f"<b>{percent(1 - wrong / 20, NO_BREAK)}</b>" in text
    assert ("Every validation image is right" in text) == (wrong == 0)
    assert ("<td>dog</td>" in text) == (wrong > 0)


@pytest.mark.parametrize(("samples", "named"), [(300, ["owl"]), (12, [])])
def test_a_class_is_far_below_the_mean_only_where_its_interval_says_so(samples: int, named: list[str]) -> None:
    classes = [of("cat", samples, 0.9, 0.75), of("dog", samples, 0.9, 0.75), of("owl", samples, 0.9, 0.25)]
    assert [item.name for item in weak_classes(classes)] == named
    assert ("owl 25.0 %" in far_below(classes)) == bool(named)
    assert weak_classes(classes[:1]) == []


def test_the_table_of_images_is_parquet_with_file_names_and_says_what_a_column_is(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    arrays = {"index": np.arange(2), "path": np.array(["a/1.png", "b/2.png"]), "margin": np.array([0.5, np.nan])}
    assert write_table(arrays, tmp_path / "t.parquet")
    table = parquet.read_table(tmp_path / "t.parquet")
    assert table.column("path").to_pylist() == ["a/1.png", "b/2.png"]
    assert table.schema.field("margin").metadata[b"about"].decode() == COLUMNS["margin"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 20, "loss": "ce", "restarts": 1, "rescale": True}, "20 steps up the cross-entropy"),
        ({"steps": 1, "restarts": 5, "bf16": True}, "1 step, 5 starts, gradients in bfloat16"),
        ({"queries": 100, "sample": 50, "p_init": 0.8}, "100 queries, on 50 images first"),
        ({"steps": 15, "targets": 9, "share": 0.2, "start": "nearest point"},
         "15 steps, 9 target classes, from the nearest point, on the 20 % nearest to another class"),
        ({}, ""),
    ],
)  # fmt: skip
def test_settings_are_told_as_a_person_would(settings: dict[str, object], words: str) -> None:
    attack = EvaluatedAttack(name="pgd", settings=settings, attacked=1, broken=0, robust_accuracy=1.0, seconds=0.0)
    assert settings_in_words(attack) == words


def test_a_count_agrees_with_its_noun() -> None:
    assert [counted(n, "query") for n in (0, 1, 1200)] == ["0 queries", "1 query", "1,200 queries"]
