"""Folds, drawings and cuts inside classes, lists and words of other languages: what a sixth set had."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from test_tables_of_more import read_with
from trees import classes, fill, refused, write

from hardener.config.reading import Reading
from hardener.data.data_set import read_data_set


@pytest.mark.parametrize("form", ["{split}_{fold}.csv", "fold_{fold}_{split}.csv", "{split}_subset{fold}.csv"])
def test_lists_of_another_fold_do_not_cut_the_one_that_is_named(form: str, tmp_path: Path) -> None:
    names = [f"im/{place:03}.png" for place in range(40)]
    fill(tmp_path, *names)
    for fold in range(3):
        turned = names[8 * fold :] + names[: 8 * fold]
        for split, own in (("train", turned[:24]), ("val", turned[24:32]), ("test", turned[32:])):
            rows = [f"{name},{'ab'[int(name[3:6]) % 2]}" for name in own]
            write(tmp_path / form.format(split=split, fold=fold), "file,label", *rows)
    words = shlex.split(refused(tmp_path).partition("Pass one, ")[2].partition(", or ")[0])
    found = read_with(words)
    assert (len(found.train), len(found.validation), found.test and len(found.test)) == (24, 8, 8)
    alone = read_data_set(tmp_path / form.format(split="train", fold=0))
    assert len(alone.train) + len(alone.validation) + len(alone.test or ()) == 24
    assert alone.drawn == ("validation", "test")


@pytest.mark.parametrize("lists", ["TR VAL TE", "tr va te", "TR TE"])
def test_short_words_of_lists_are_splits_where_they_stand_together(lists: str, tmp_path: Path) -> None:
    root = classes(tmp_path / "d", "cat", "dog", count=12)
    words = lists.split()
    for word, places in zip(
        words, (range(8), range(8, 10), range(10, 12))[:: 1 if len(words) == 3 else 2], strict=True
    ):
        write(root / f"lists/{word}.txt", *(f"/{label}/{place}.png" for label in ("cat", "dog") for place in places))
    found = read_data_set(root)
    assert found.test is not None
    assert {name.partition("/")[2] for name in found.test.paths} == {"10.png", "11.png"}


@pytest.mark.parametrize("inner", ["{0}|{0} GT", "{0}_img|{0}_mask", "{0}|masks", "images|masks"])
def test_drawings_beside_a_folder_called_like_its_class_are_told_of(inner: str, tmp_path: Path) -> None:
    folders = [f"{name}/{below}" for name in ("Bass", "Trout") for below in inner.format(name).split("|")]
    root = classes(tmp_path / "d", *folders, count=6)
    (doubt,) = (own for own in read_data_set(root).brought.doubts if "drawn on images" in own)
    pattern = shlex.split(doubt.partition("--ignore ")[2])[0]
    found = read_data_set(root, reading=Reading(ignore=(pattern,)))
    assert found.classes == ("Bass", "Trout")
    assert sum(len(files) for files in found.splits.values()) == 12
    assert not any("drawn on" in own for own in found.brought.doubts)


@pytest.mark.parametrize("wrap", ["", "{0}/"])
def test_cuts_below_the_images_that_they_are_called_after_are_told_of(wrap: str, tmp_path: Path) -> None:
    names = [f"{kind}/{wrap.format(kind)}" for kind in ("flat", "round")]
    fill(tmp_path, *(f"{name}{place:03}.png" for name in names for place in range(6)))
    fill(tmp_path, *(f"{name}CROPPED/{place:03}_0{cut}.png" for name in names for place in range(6) for cut in (1, 2)))
    (doubt,) = read_data_set(tmp_path).brought.doubts
    assert "is called after 00" in doubt
    found = read_data_set(tmp_path, reading=Reading(ignore=("CROPPED",)))
    assert sum(len(files) for files in found.splits.values()) == 12
    assert found.brought.doubts == ()


def test_prodigys_answers_are_no_classes(tmp_path: Path) -> None:
    names = [f"{place:03}.png" for place in range(60)]
    fill(tmp_path, *(f"images/{name}" for name in names))
    answers = ["accept"] * 8 + ["reject", "ignore"]
    rows = [
        {"image": name, "options": [{"id": "CAR"}, {"id": "BUS"}], "accept": [["CAR", "BUS"][place % 2]]}
        for place, name in enumerate(names)
    ]
    told = [json.dumps({**row, "answer": answers[place % 10]}) for place, row in enumerate(rows)]
    write(tmp_path / "annotations.jsonl", *told)
    found = read_data_set(tmp_path)
    assert found.classes == ("BUS", "CAR")
    assert sum(len(files) for files in found.splits.values()) == 48


@pytest.mark.parametrize(
    "names",
    [
        "entrenamiento validación prueba",
        "Trainingsdaten Validierungsdaten Testdaten",
        "treino validação teste",
        "训练集 验证集 测试集",
        "Lerndaten Validierung Prüfdaten",
    ],
)
def test_split_folders_may_have_names_of_other_languages(names: str, tmp_path: Path) -> None:
    train, val, test = names.split()
    root = classes(tmp_path / "d", *(f"{name}/{label}" for name in (train, val, test) for label in ("cat", "dog")))
    found = read_data_set(root)
    assert (found.drawn, found.classes) == ((), ("cat", "dog"))
    assert {name.partition("/")[0] for name in found.train.paths} <= {train, "cat", "dog"}


@pytest.mark.parametrize("column", ["Klasse", "Kategorie", "clase", "étiquette", "类别", "diagnostic", "defect_type"])
def test_columns_of_classes_may_have_names_of_other_languages(column: str, tmp_path: Path) -> None:
    names = [f"{place:03}.png" for place in range(24)]
    fill(tmp_path, *(f"images/{name}" for name in names))
    rows = [f"{name},{'abc'[place % 3]},{'xy'[place % 2]}" for place, name in enumerate(names)]
    write(tmp_path / "t.csv", f"image,{column},Operator", *rows)
    assert read_data_set(tmp_path).classes == ("a", "b", "c")


def test_one_folder_of_images_does_not_hide_what_tells_their_classes(tmp_path: Path) -> None:
    fill(tmp_path, *(f"all/png/CHN_{place:04}_{place % 2}.png" for place in range(24)))
    assert "--label-from 'CHN_{#}_{label}.{*}'" in refused(tmp_path)
    fill(tmp_path / "b", *(f"Bilder/DSC_{place:04}.png" for place in range(24)))
    (tmp_path / "b/Auswertung.xlsx").write_bytes(b"PK")
    assert "If Auswertung.xlsx tells the classes, save it as CSV" in refused(tmp_path / "b")


@pytest.mark.parametrize("form", ["{0}_video{1}", "{0}{1}", "{0} 2023-05-0{1}", "{1}_{0}"])
def test_classes_by_counted_parts_are_told_with_the_line(form: str, tmp_path: Path) -> None:
    names = [form.format(word, count) for word in ("gut", "defekt") for count in (1, 2, 3)]
    root = classes(tmp_path / "d", *names, count=6)
    (doubt,) = (own for own in read_data_set(root).brought.doubts if "are called by 2 words (defekt, gut)" in own)
    pattern = shlex.split(doubt.partition("--label-from ")[2])[0].removesuffix(",")
    assert read_data_set(root, reading=Reading(label_from=pattern)).classes == ("defekt", "gut")


@pytest.mark.parametrize("names", ["red_car red_bus blue_car blue_bus", "grade1 grade2 grade3", "a1 a2 b1 b3"])
def test_names_that_cross_without_counts_are_classes(names: str, tmp_path: Path) -> None:
    root = classes(tmp_path / "d", *names.split(), count=6)
    assert not any("are called by" in own for own in read_data_set(root).brought.doubts)


def test_both_parts_of_names_that_cross_are_offered(tmp_path: Path) -> None:
    fill(
        tmp_path, *(f"47{item}A_{state}_{n:04}.png" for item in (1, 2, 3) for state in ("OK", "NOK") for n in range(6))
    )
    said = refused(tmp_path)
    assert "--label-from '{#}A_{label}_{*}' gives 2 classes (NOK, OK)" in said
    assert "gives 3 classes (471A, 472A, 473A)" in said


def test_ranges_of_numbers_below_classes_are_no_classes_first(tmp_path: Path) -> None:
    ways = [
        f"{kind}/{part}/{kind}_{n}" for kind in ("BLA", "EBO") for part in ("0001-1000", "1001-2000") for n in range(4)
    ]
    fill(tmp_path, *(f"{way}.png" for way in ways))
    assert "may be the classes. --class-depth 1 takes BLA, EBO" in refused(tmp_path)


def test_folders_of_classes_called_images_are_kept_and_other_forms_beside_are_left_out(tmp_path: Path) -> None:
    names = [f"{kind}_{place:02}" for kind in ("Short", "Spur") for place in range(8)]
    root = fill(tmp_path / "d", *(f"images/{name.partition('_')[0]}/{name}.png" for name in names))
    fill(root, *(f"rotation/{name.partition('_')[0]}_rotation/{name}.png" for name in names), "used/extra.png")
    fill(root, "used/more.png")
    words = shlex.split(refused(root).partition("same images. ")[2].partition(" takes images alone")[0])
    assert words == ["--ignore", "rotation", "--ignore", "used"]
    assert read_data_set(root, reading=Reading(ignore=("rotation", "used"))).classes == ("Short", "Spur")


def test_datumaros_and_fiftyones_json_are_read(tmp_path: Path) -> None:
    names = [f"{place:03}.png" for place in range(30)]
    fill(tmp_path / "a", *(f"images/train/{name}" for name in names))
    items = [
        {"id": name[:3], "annotations": [{"type": "label", "label_id": place % 2}], "image": {"path": name}}
        for place, name in enumerate(names)
    ]
    items[0]["annotations"] = [{"type": "bbox", "label_id": 0, "bbox": [0, 0, 2, 2]}]
    labels = {"label": {"labels": [{"name": "ok"}, {"name": "rust"}]}}
    write(tmp_path / "a/annotations/train.json", json.dumps({"info": {}, "categories": labels, "items": items}))
    found = read_data_set(tmp_path / "a")
    assert (found.classes, sum(len(own) for own in found.splits.values())) == (("ok", "rust"), 29)
    fill(tmp_path / "b", *(f"data/{name}" for name in names))
    samples = [
        {
            "filepath": f"data/{name}",
            "tags": ["test" if place > 23 else "train", "seen"],
            "ground_truth": {"_cls": "Classification", "tags": [], "label": ("bird", "boat")[place % 2]},
        }
        for place, name in enumerate(names)
    ]
    write(tmp_path / "b/samples.json", json.dumps({"samples": samples}))
    found = read_data_set(tmp_path / "b")
    assert (found.classes, found.test and len(found.test)) == (("bird", "boat"), 6)
