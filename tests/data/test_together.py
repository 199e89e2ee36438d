"""Images that belong together are drawn together: no patient is trained on and judged by."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.reading import AS_FOUND, Reading
from hardener.data import index
from hardener.data.data_set import DataSet, read_data_set
from hardener.data.split import draw_groups
from hardener.errors import HardenerError

BY_COLUMN, BY_NAME = "patient_id", "{group}_{#}.png"


def patients(root: Path, *, table: bool, patients: int = 12, images: int = 5) -> Path:
    """Write images of patients, each of whom has one of two diagnoses: in a table, or in class folders."""
    rows = []
    for patient, number in itertools.product(range(patients), range(images)):
        label, name = ("ill", "well")[patient % 2], f"p{patient:02}_{number}.png"
        folder = root / ("images" if table else label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), 20 * patient + number, np.uint8)).save(folder / name)
        rows.append((name, label, patient))
    if table:
        with (root / "labels.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("image", "label", "patient_id"), *rows])
    return root


def owners(found: DataSet) -> dict[str, set[str]]:
    """Return the patients of each split."""
    return {split: {Path(path).name.partition("_")[0] for path in files.paths} for split, files in found.splits.items()}


@pytest.mark.parametrize(("table", "by"), [(True, BY_COLUMN), (False, BY_NAME), (True, BY_NAME)])
def test_no_patient_comes_into_two_splits(table: bool, by: str, tmp_path: Path) -> None:
    root = patients(tmp_path / "d", table=table)
    seeds = {}
    for seed in range(4):
        found = read_data_set(root, reading=AS_FOUND.grouped(by), seed=seed)
        own = owners(found)
        assert all(not own[one] & own[other] for one, other in itertools.combinations(own, 2))
        assert {split: len(files) for split, files in found.splits.items()} == {
            "train": 40,
            "validation": 10,
            "test": 10,
        }
        assert all(set(files.labels) == {0, 1} for files in found.splits.values())
        assert owners(read_data_set(root, reading=AS_FOUND.grouped(by), seed=seed)) == own
        seeds[seed] = tuple(sorted(own["test"]))
    assert len(set(seeds.values())) > 1
    scattered = owners(read_data_set(root))
    assert scattered["train"] & scattered["test"]


def test_groups_are_kept_with_what_was_found_of_a_large_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MANY", 4)
    monkeypatch.setattr(index, "_SETTLED_S", -10.0)
    monkeypatch.setenv("HARDENER_CACHE", str(tmp_path / "cache"))
    root = patients(tmp_path / "d", table=True) / "labels.csv"
    reading = Reading(images_root=str(tmp_path / "d" / "images"))
    first = read_data_set(root, reading=reading.grouped(BY_COLUMN))
    monkeypatch.setattr("hardener.data.tables.rows.groups_of_rows", None)  # it is not read again
    again = read_data_set(root, reading=reading.grouped(BY_COLUMN))
    assert owners(again) == owners(first)


def test_a_share_of_each_class_is_drawn_in_whole_groups() -> None:
    sizes = [1, 2, 3, 5, 8, 13, 2, 2, 7, 4] * 8
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    labels = np.random.default_rng(0).integers(0, 3, len(groups)).tolist()
    held = draw_groups(groups, labels, 0.2, "salt")
    assert not isinstance(held, int)
    inside = {groups[place] for place in held}
    assert inside.isdisjoint(groups[place] for place in range(len(groups)) if place not in set(held.tolist()))
    shares = np.bincount(np.array(labels)[held]) / np.bincount(labels)
    assert np.all(np.abs(shares - 0.2) < 0.05), shares
    turned = draw_groups(groups[::-1], labels[::-1], 0.2, "salt")
    assert not isinstance(turned, int)
    assert {groups[::-1][place] for place in turned} == inside


def test_a_class_of_one_patient_cannot_be_held_out(tmp_path: Path) -> None:
    root = patients(tmp_path / "d", table=True, patients=3)
    said = r"class 'well' lies in 1 group of data.group_by \(1\), and none of them can be held out"
    with pytest.raises(HardenerError, match=said):
        read_data_set(root, reading=AS_FOUND.grouped(BY_COLUMN))


@pytest.mark.parametrize(
    ("table", "asked", "said"),
    [
        (True, "patint_id", "has no column 'patint_id'. It has image, label, patient_id. Did you mean 'patient_id'?"),
        (False, "patient_id", "names a column of a table, and"),
        (False, "{group}-{#}", "fits the names of 0 of 60 images"),
        (False, "{group}_{group}", "data.group_by takes a pattern with one {group}; got"),
        (False, "(?P<group>", "data.group_by '(?P<group>' is no regular expression"),
    ],
)
def test_groups_that_nothing_tells_are_refused(table: bool, asked: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(HardenerError) as refused:
        read_data_set(patients(tmp_path / "d", table=table), reading=AS_FOUND.grouped(asked))
    assert said in str(refused.value)


def test_a_column_of_patients_is_told_of_and_the_line_works(tmp_path: Path) -> None:
    root = patients(tmp_path / "d", table=True)
    result = CliRunner().invoke(app, ["inspect", str(root)])
    said = " ".join(result.output.split())
    assert "column 'patient_id' of" in said
    assert "--set data.group_by=patient_id keeps each in one split" in said
    result = CliRunner().invoke(app, ["inspect", str(root), "--set", "data.group_by=patient_id"])
    said = " ".join(result.output.split())
    assert result.exit_code == 0, said
    assert "keeps each in one split" not in said
    assert f"hardener train MODEL --data {root} --set data.group_by=patient_id" in said
    assert (
        read_data_set(root, reading=AS_FOUND.grouped(BY_COLUMN)).sources["test"]
        == "drawn by patient_id, about 10% of each class"
    )


def test_splits_of_the_data_that_share_a_patient_are_told_of(tmp_path: Path) -> None:
    root = patients(tmp_path / "d", table=True)
    lines = (root / "labels.csv").read_text().splitlines()
    split = [("train", "val", "test")[number % 3] for number in range(len(lines) - 1)]
    told = [f"{line},{own}" for line, own in zip(lines, ["split", *split], strict=True)]
    (root / "labels.csv").write_text("\n".join(told))
    assert read_data_set(root).brought.doubts == ()
    doubts = read_data_set(root, reading=AS_FOUND.grouped(BY_COLUMN)).brought.doubts
    assert [doubt.partition(",")[0] for doubt in doubts] == [
        "12 of 12 groups of the validation split lie in train too",
        "12 of 12 groups of the test split lie in train too",
    ]
