"""Tables that name images: as people write them, and as they go wrong."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from hardener.cli.options import asked_reading
from hardener.config.reading import AS_FOUND, Reading
from hardener.data.data_set import DataSet, read_data_set, read_held_out, read_source
from hardener.errors import HardenerError

CLASSES = ("cat", "dog", "emu")


def picture(seed: int) -> bytes:
    """Write an image that no other seed gives."""
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (seed % 251, 90, 7)).save(file, "PNG")
    return file.getvalue()


def fill(folder: Path, names: list[str], start: int = 0) -> None:
    for seed, name in enumerate(names, start):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(seed))


ROWS = [(f"{CLASSES[place % 3]}{place:02}.png", CLASSES[place % 3]) for place in range(24)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder `d` whose `images/` holds two dozen images that have no class but in a table."""
    fill(tmp_path / "d" / "images", [name for name, _ in ROWS])
    return tmp_path / "d"


def csv_of(rows: list[list[str]], delimiter: str = ",", ending: str = "\n") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator=ending).writerows(rows)
    return file.getvalue()


def table(path: str, label: str, prefix: str = "images/", **how: str) -> str:
    return csv_of([[path, label], *([f"{prefix}{name}", kind] for name, kind in ROWS)], **how)


def labels_of(brought_from: Path, reading: Reading = AS_FOUND) -> dict[str, str]:
    found = read_source(brought_from, reading)
    return {
        path.rpartition("/")[2]: name
        for group in found.splits.values()
        for path, name in zip(group.paths, group.names, strict=True)
    }


@pytest.mark.parametrize(
    "path", ["image", "path", "file", "filename", "filepath", "image_path", "img", "file_name", "id"]
)
@pytest.mark.parametrize("label", ["label", "class", "target", "category", "species", "breed", "diagnosis"])
def test_the_usual_names_of_columns_are_known_and_said(path: str, label: str, root: Path) -> None:
    (root / "labels.csv").write_text(table(path, label))
    assert labels_of(root / "labels.csv") == dict(ROWS)
    (note,) = read_source(root / "labels.csv", AS_FOUND).notes
    assert f"paths from column '{path}', classes from column '{label}', no column of splits" in note


WRITTEN: dict[str, Callable[[], tuple[str, bytes]]] = {
    "comma": lambda: ("t.csv", table("path", "label").encode()),
    "semicolon": lambda: ("t.csv", table("path", "label", delimiter=";").encode()),
    "sep=": lambda: ("t.csv", b"sep=;\n" + table("path", "label", delimiter=";").encode()),
    "tab": lambda: ("t.tsv", table("path", "label", delimiter="\t").encode()),
    "tab in csv": lambda: ("t.csv", table("path", "label", delimiter="\t").encode()),
    "BOM": lambda: ("t.csv", codecs.BOM_UTF8 + table("path", "label").encode()),
    "UTF-16": lambda: ("t.csv", table("path", "label").encode("utf-16")),
    "CRLF": lambda: ("t.csv", table("path", "label", ending="\r\n").encode()),
    "no header": lambda: ("t.csv", table("path", "label").partition("\n")[2].encode()),
    "blank lines": lambda: ("t.csv", table("path", "label").replace("\n", "\n\n").encode()),
    "capitals": lambda: ("t.CSV", table("Image Path", "LABEL").encode()),
    "back slashes": lambda: ("t.csv", table("path", "label", prefix="images\\").encode()),
    "text": lambda: ("t.txt", "".join(f"images/{name} {label}\n" for name, label in ROWS).encode()),
    "text, tabs": lambda: ("t.txt", "".join(f"images/{name}\t{label}\n" for name, label in ROWS).encode()),
    "json lines": lambda: (
        "t.jsonl",
        "".join(json.dumps({"image": f"images/{name}", "label": label}) + "\n" for name, label in ROWS).encode(),
    ),
    "json": lambda: ("t.json", json.dumps([{"file_name": f"images/{n}", "category": c} for n, c in ROWS]).encode()),
    "json by name": lambda: ("t.json", json.dumps({f"images/{name}": label for name, label in ROWS}).encode()),
    "json by column": lambda: (
        "t.json",
        json.dumps({"path": [f"images/{name}" for name, _ in ROWS], "label": [label for _, label in ROWS]}).encode(),
    ),
    "without extension": lambda: ("t.csv", table("id", "breed").replace(".png", "").encode()),
    "from another folder": lambda: ("t.csv", table("id", "label", prefix="").encode()),
    "neither": lambda: ("t.csv", table("id", "label", prefix="").replace(".png", "").encode()),
    "more columns": lambda: (
        "t.csv",
        csv_of(
            [["no", "image", "note", "y"], *([str(k), f"images/{n}", "a,\nb", c] for k, (n, c) in enumerate(ROWS))]
        ).encode(),
    ),
    "one-hot": lambda: (
        "t.csv",
        csv_of([["image", *CLASSES], *([n[:-4], *(str(float(c == k)) for k in CLASSES)] for n, c in ROWS)]).encode(),
    ),
    "unknown names": lambda: ("t.csv", table("bild", "klasse").encode()),
    "another machine": lambda: ("t.csv", table("path", "label", prefix="/home/nobody/set/images/").encode()),
    "windows": lambda: (
        "t.csv", table("path", "label", prefix="C:\\Users\\me\\images\\").encode(),
    ),
    "comments": lambda: ("t.csv", ("# made by me\n# in 2020\n" + table("path", "label")).encode()),
    "json of lists": lambda: (
        "t.json",
        json.dumps({kind: [f"images/{name}" for name, own in ROWS if own == kind] for kind in CLASSES}).encode(),
    ),
    "nested json": lambda: (
        "t.jsonl",
        "\n".join(
            json.dumps({"image": {"path": f"images/{name}", "bytes": None}, "label": {"name": kind}})
            for name, kind in ROWS
        ).encode(),
    ),
    "row numbers": lambda: (
        "t.csv",
        csv_of([["", "image", "label"], *([str(k), f"images/{n}", c] for k, (n, c) in enumerate(ROWS))]).encode(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN.keys())
def test_a_table_is_read_however_it_was_written(write: Callable[[], tuple[str, bytes]], root: Path) -> None:
    name, data = write()
    (root / name).write_bytes(data)
    assert labels_of(root / name) == dict(ROWS)
    folder = read_data_set(root / name)
    assert folder.classes == CLASSES
    assert {split: len(files) for split, files in folder.splits.items()} == {"train": 18, "validation": 3, "test": 3}


def test_the_order_of_the_rows_changes_nothing(root: Path) -> None:
    (root / "a.csv").write_text(table("path", "label"))
    head, *lines = table("path", "label").splitlines()
    (root / "b.csv").write_text("\n".join([head, *reversed(lines)]))
    assert read_data_set(root / "a.csv").listings() == read_data_set(root / "b.csv").listings()


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        (["0", "10", "9"], ("0", "9", "10")),
        (["0.0", "10.0", "9.0"], ("0", "9", "10")),
        (["-1", "1", "2"], ("-1", "1", "2")),
    ],
)
def test_numbers_are_classes_by_their_size(label: list[str], classes: tuple[str, ...], root: Path) -> None:
    number = dict(zip(CLASSES, label, strict=True))
    (root / "t.csv").write_text(csv_of([["path", "label"], *([f"images/{n}", number[c]] for n, c in ROWS)]))
    assert read_data_set(root / "t.csv").classes == classes


SPLITS = ["train", "TRAIN", "train", "test", "valid", "train"]


def divided(value: Callable[[int], str], name: str = "split") -> str:
    return csv_of([["path", "label", name], *([f"images/{n}", c, value(k)] for k, (n, c) in enumerate(ROWS))])


def sizes(folder: DataSet) -> dict[str, int]:
    return {split: len(files) for split, files in folder.splits.items()}


@pytest.mark.parametrize("name", ["split", "set", "subset", "fold", "Usage", "data set"])
def test_a_column_of_splits_is_taken(name: str, root: Path) -> None:
    (root / "t.csv").write_text(divided(lambda k: SPLITS[k // 3 % 6], name))
    folder = read_data_set(root / "t.csv")
    assert (sizes(folder), folder.drawn) == ({"train": 18, "validation": 3, "test": 3}, ())
    assert read_held_out(root / "t.csv").split == "test"


def test_a_flag_of_training_is_a_split(root: Path) -> None:
    (root / "t.csv").write_text(divided(lambda k: str(int(k < 18)), "is_training"))
    assert len(read_held_out(root / "t.csv").files) == 6


def test_numbers_of_folds_are_no_splits_and_rows_of_unknown_splits_are_left_out(root: Path) -> None:
    (root / "t.csv").write_text(divided(lambda k: str(k % 5), "fold"))
    folder = read_data_set(root / "t.csv")
    assert folder.drawn == ("validation", "test")
    assert "column 'fold' of" in folder.brought.doubts[0]
    with pytest.raises(HardenerError, match="tells no split: it holds '0', '1', .* Write train, val or test"):
        read_data_set(root / "t.csv", reading=Reading(split_column="fold"))
    (root / "t.csv").write_text(divided(lambda k: "extra" if k < 6 else SPLITS[k // 3 % 6]))
    brought = read_source(root / "t.csv", AS_FOUND)
    assert "6 rows of" in brought.doubts[0]
    assert [fact.count for fact in brought.left_out] == [6]


def test_columns_are_chosen_by_the_user(root: Path) -> None:
    rows = [["label", "image", "crop", "kind"], *(["x", "nothing.png", f"images/{n}", c] for n, c in ROWS)]
    (root / "t.csv").write_text(csv_of(rows))
    assert labels_of(root / "t.csv", Reading(path_column="crop", label_column="kind")) == dict(ROWS)
    with pytest.raises(HardenerError, match="has no column 'kinds'.*Did you mean 'kind'. Pass --label-column"):
        read_source(root / "t.csv", Reading(path_column="crop", label_column="kinds"))


def test_paths_by_splits_of_folders_are_divided(tmp_path: Path) -> None:
    names = [f"{split}/{name}" for split in ("train", "test") for name, _ in ROWS]
    fill(tmp_path / "d", names)
    (tmp_path / "d" / "t.csv").write_text(csv_of([["path", "label"], *([n, n[-9:-6]] for n in names)]))
    folder = read_data_set(tmp_path / "d" / "t.csv")
    assert (sizes(folder), folder.drawn) == ({"train": 21, "validation": 3, "test": 24}, ("validation",))


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty. It needs a header"),
    "blank": (b"\n \n", "is empty"),
    "no rows": (b"path,label\n", "has a header and no rows"),
    "twice": (b"path,label,label\nimages/cat00.png,a,b\n", "several columns called 'label'. Rename"),
    "latin": ("path,label\nimages/cat00.png,caf\xe9\n".encode("latin-1"), r"is not UTF-8 \(line 2\).* iconv -f"),
    "zeros": (b"path,label\n\0\0,a\n", "holds zero bytes"),
    "short row": (b"path,label,x\nimages/cat00.png,cat\n", "line 2 of .* has 2 cells, and its header 3"),
    "long row": (b"path,label\nimages/cat00.png,cat,dog\n", "line 2 of .* has 3 cells"),
    "urls": (b"path,label\nhttps://a.b/1.jpg,cat\n", "holds URLs, which are never fetched. Download .* wget"),
    "two classes": (b"path,cat,dog\nimages/cat00.png,1,1\n", "row 1 of .* has a 1 in 2 columns"),
    "no labels": (b"path\nimages/cat00.png\n", "has one column, path, and none that holds classes"),
    "unknown": (b"a,b,c\n1,2,3\n4,5,6\n", "has the columns a, b, c, and none is known .* --path-column a"),
    "no class column": (b"path,b,c\nimages/cat00.png,2,3\nimages/cat03.png,5,6\n", "hold classes. .*--label-column c"),
    "all unlabelled": (b"path,label\nimages/cat00.png,\n", "names no image with a class: 1 rows without a class"),
    "missing": (b"path,label\nimages/no.png,cat\nimages/cat00.png,cat\n", "1 of the 2 .* not below .*--images-root"),
    "contradicting": (b"path,label\nimages/cat00.png,a\nimages/cat00.png,b\n", "two classes .* An image has one class"),
    "open quote": (b'path,label\n"images/cat00.png,cat\n' + b"x" * 200_000 + b"\n", "cannot be read at line"),
    "alike": (b"path,label\nimages/cat00.png,Cat\nimages/cat03.png,cat\n", "differ only by case"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "says"), BAD.values(), ids=BAD.keys())
def test_a_table_that_cannot_be_read_is_refused_with_the_way(data: bytes, says: str, root: Path) -> None:
    (root / "t.csv").write_bytes(data)
    with pytest.raises(HardenerError, match=says):
        read_data_set(root / "t.csv")


def test_coco_captions_are_named(root: Path) -> None:
    (root / "captions.json").write_text('{"images": [{"id": 1}], "annotations": [{"caption": "a cat", "id": 1}]}')
    with pytest.raises(HardenerError, match="is a list of COCO's without categories, such as captions"):
        read_source(root / "captions.json", AS_FOUND)


def test_lines_that_are_no_json_are_named(root: Path) -> None:
    (root / "t.jsonl").write_text('{"path": "images/cat00.png", "label": "cat"}\n[1]\n')
    with pytest.raises(HardenerError, match="t.jsonl is no list of objects"):
        read_source(root / "t.jsonl", AS_FOUND)
    (root / "t.jsonl").write_text('{"path": "images/cat00.png", "label": ["cat", "dog"]}\n{"pa')
    with pytest.raises(HardenerError, match="line 2 of .*t.jsonl is no JSON"):
        read_source(root / "t.jsonl", AS_FOUND)
    (root / "t.jsonl").write_text('{"path": "images/cat00.png", "label": ["cat", "dog"]}\n')
    with pytest.raises(HardenerError, match="column 'label' of .* holds lists .* one class here"):
        read_source(root / "t.jsonl", AS_FOUND)


def test_rows_that_are_wrong_here_and_there_are_left_out_and_said(root: Path) -> None:
    text = table("path", "label") + "images/gone.png,cat\n"
    text = text.replace("images/dog01.png,dog", "images/dog01.png,") + "images/emu02.png,cat\nimages/emu05.png,emu\n"
    (root / "t.csv").write_text(text)
    brought = read_source(root / "t.csv", AS_FOUND)
    assert len(brought.splits[None]) == 22
    told = {fact.reason: fact.first for fact in brought.left_out}
    assert told == {
        "rows whose image is not there": ("images/gone.png",),
        "rows without a class": ("images/dog01.png",),
        "images with two classes": ("images/emu02.png",),
    }
    assert "1 images that" in brought.doubts[0]
    assert "such as images/emu02.png: emu and cat" in brought.doubts[1]
    assert any("repeat another row" in note for note in brought.notes)


def test_patterns_pass_over_paths_and_classes(root: Path) -> None:
    (root / "t.csv").write_text(table("path", "label"))
    assert set(labels_of(root / "t.csv", Reading(ignore=("emu", "dog01.png")))) == {
        name for name, label in ROWS if label != "emu" and name != "dog01.png"
    }


@pytest.mark.parametrize("way", ["../elsewhere/{}", "{outside}/{}", "images/../../elsewhere/{}"])
def test_paths_that_lead_out_are_refused_and_the_advice_works(way: str, root: Path) -> None:
    outside = root.parent / "elsewhere"
    (root / "images").rename(outside)
    rows = [["path", "label"], *([way.format(n, outside=outside), c] for n, c in ROWS)]
    (root / "t.csv").write_text(csv_of(rows))
    with pytest.raises(HardenerError, match="24 paths of .* lead out of .* --images-root") as caught:
        read_source(root / "t.csv", AS_FOUND)
    folder = shlex.split(str(caught.value).partition("--images-root ")[2].removesuffix("."))[0]
    reading = asked_reading(None, None, images_root=Path(folder))
    assert reading is not None
    assert labels_of(root / "t.csv", reading) == dict(ROWS)


def test_paths_that_count_from_another_folder_are_found_and_the_advice_works(root: Path) -> None:
    (root / "annotations").mkdir()
    (root / "annotations" / "t.csv").write_text(table("path", "label"))
    with pytest.raises(HardenerError, match="Its paths count from .*/d: pass --images-root"):
        read_source(root / "annotations" / "t.csv", AS_FOUND)
    assert labels_of(root / "annotations" / "t.csv", Reading(images_root=str(root))) == dict(ROWS)
    gone = Reading(images_root=str(root / "gone"))  # a run's own, after a move: the table's folder counts
    shutil.move(root / "annotations" / "t.csv", root / "t.csv")
    assert labels_of(root / "t.csv", gone) == dict(ROWS)


def test_links_that_lead_out_are_no_images(root: Path) -> None:
    secret = root.parent / "secret.png"
    secret.write_bytes(picture(1))
    (root / "images" / "cat00.png").unlink()
    (root / "images" / "cat00.png").symlink_to(secret)
    (root / "more").symlink_to(root.parent)
    (root / "images" / "link.png").symlink_to("dog01.png")
    (root / "t.csv").write_text(table("path", "label") + "images/link.png,dog\n")
    brought = read_source(root / "t.csv", AS_FOUND)
    assert [(fact.reason, fact.first) for fact in brought.left_out] == [
        ("rows whose image is not there", ("images/cat00.png",))
    ]
    assert "images/link.png" in brought.splits[None].paths
    (root / "t.csv").write_text("path,label\nmore/secret.png,cat\n")
    with pytest.raises(HardenerError, match="1 of the 1 images"):
        read_source(root / "t.csv", AS_FOUND)


def test_no_folder_is_advised_that_has_a_few_of_the_names_alone(root: Path) -> None:
    lists = root.parent / "lists"
    lists.mkdir()
    (lists / "t.csv").write_text(table("path", "label", prefix=""))
    fill(root.parent / "copies", [name for name, _ in ROWS[:3]], start=50)
    with pytest.raises(HardenerError, match="24 of the 24 .* Name the folder that its paths count from"):
        read_source(lists / "t.csv", AS_FOUND)


def test_two_files_of_one_name_are_not_mixed_up(root: Path) -> None:
    (root / "t.csv").write_text(table("id", "label", prefix=""))
    fill(root, ["old/cat00.png", "old/dog01.png", "old/emu02.png"], start=50)
    with pytest.raises(HardenerError, match="3 of the 24 images"):
        read_source(root / "t.csv", AS_FOUND)
    assert labels_of(root / "t.csv", Reading(ignore=("old",))) == dict(ROWS)


# Folders with a table beside the images.


def zipped(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder))


PACKED: dict[str, Callable[[Path], Path]] = {"folder": lambda folder: folder, "zip": zipped}


@pytest.fixture(params=list(PACKED.values()), ids=list(PACKED))
def pack(request: pytest.FixtureRequest) -> Callable[[Path], Path]:
    made: Callable[[Path], Path] = request.param
    return made


def test_a_folder_of_images_and_a_table_is_read_by_the_table(pack: Callable[[Path], Path], root: Path) -> None:
    (root / "labels.csv").write_text(table("id", "breed", prefix="").replace(".png", ""))
    (root / "sample_submission.csv").write_text("id,breed\ncat00,cat\n")
    (root / "README.txt").write_text("Nothing to see in cat.png here.\n")
    folder = read_data_set(pack(root))
    assert (folder.classes, sizes(folder), folder.brought.kind) == (
        CLASSES, {"train": 18, "validation": 3, "test": 3}, "sheets",
    )  # fmt: skip
    assert folder.train.open(0).startswith(b"\x89PNG")
    fill(root, ["images/extra.png"], start=70)
    told = {fact.reason: fact.first for fact in read_source(pack(root), AS_FOUND).left_out}
    assert told == {"images that no table names": ("images/extra.png",)}


def test_tables_that_are_called_like_splits_are_splits(pack: Callable[[Path], Path], tmp_path: Path) -> None:
    root = tmp_path / "d"
    for split in ("train", "val", "test"):
        fill(root / split, [name for name, _ in ROWS], start=len(split) * 24)
        (root / f"{split}.csv").write_text(table("image_id", "label", prefix=""))
    folder = read_data_set(pack(root))
    assert (sizes(folder), folder.drawn) == ({"train": 24, "validation": 24, "test": 24}, ())
    assert all("/train/" in folder.train.where(place) for place in range(24))


def test_kaggles_test_without_classes_is_no_split(tmp_path: Path) -> None:
    root = tmp_path / "d"
    fill(root / "train", [name for name, _ in ROWS])
    fill(root / "test", [f"t{k}.png" for k in range(9)], start=60)
    (root / "train.csv").write_text(table("id", "label", prefix=""))
    (root / "test.csv").write_text(csv_of([["id"], *([f"t{k}.png"] for k in range(9))]))
    folder = read_data_set(root)
    assert folder.drawn == ("validation", "test")
    assert sum(sizes(folder).values()) == 24


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
@pytest.mark.parametrize("inside", [True, False])
def test_huggingface_metadata_is_read(name: str, inside: bool, pack: Callable[[Path], Path], tmp_path: Path) -> None:
    root = tmp_path / "d"
    for start, split in enumerate(("train", "validation", "test")):
        fill(root / split, [own for own, _ in ROWS], start=24 * start)

    def write(path: Path, rows: list[tuple[str, str]]) -> None:
        lines = [json.dumps({"file_name": own, "text": "a cat", "label": label}) for own, label in rows]
        text = csv_of([["file_name", "label"], *map(list, rows)]) if name.endswith("csv") else "\n".join(lines)
        path.write_text(text)

    if inside:
        for split in ("train", "validation", "test"):
            write(root / split / name, ROWS)
    else:
        write(root / name, [(f"{split}/{own}", c) for split in ("train", "validation", "test") for own, c in ROWS])
    folder = read_data_set(pack(root))
    assert (folder.classes, sizes(folder), folder.drawn) == (CLASSES, dict.fromkeys(sizes(folder), 24), ())


def test_metadata_without_classes_leaves_class_folders_alone(tmp_path: Path) -> None:
    fill(tmp_path, [f"{label}/{name}" for name, label in ROWS])
    rows = [[f"{label}/{name}", f"a picture {name}"] for name, label in ROWS]
    (tmp_path / "metadata.csv").write_text(csv_of([["file_name", "text"], *rows]))
    assert read_data_set(tmp_path).brought.kind == "image-folder"


def test_a_table_that_says_what_the_folders_say_changes_nothing_and_one_that_does_not_is_refused(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "d", [f"{label}/{name}" for name, label in ROWS])
    write = (tmp_path / "d" / "labels.csv").write_text
    write(csv_of([["filepath", "label"], *([f"{c}/{n}", str(CLASSES.index(c))] for n, c in ROWS)]))
    assert read_data_set(tmp_path / "d").classes == CLASSES
    write(csv_of([["filepath", "label"], *([f"{c}/{n}", "ab"[k % 2]] for k, (n, c) in enumerate(ROWS))]))
    with pytest.raises(HardenerError, match="tells other classes of the images than their folders do: 2 ") as caught:
        read_data_set(tmp_path / "d")
    way = shlex.split(str(caught.value).partition("--data ")[2].partition(",")[0])[0]
    assert read_data_set(Path(way)).classes == ("a", "b")
    assert read_data_set(tmp_path / "d", reading=Reading(ignore=("labels.csv",))).classes == CLASSES


def test_several_tables_are_refused_and_the_advice_works(root: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (root / name).write_text(table("path", "label"))
    with pytest.raises(HardenerError, match="several tables that name its images: a.csv, b.csv") as caught:
        read_data_set(root)
    assert read_data_set(Path(shlex.split(str(caught.value).partition("--data ")[2].partition(",")[0])[0])).classes
    assert read_data_set(root, reading=Reading(ignore=("b.csv",))).classes == CLASSES


def test_a_zip_whose_table_leads_out_is_refused(root: Path) -> None:
    (root / "t.csv").write_text(table("path", "label") + "../../etc/passwd.png,cat\n")
    with pytest.raises(HardenerError, match="1 paths of .* lead out of"):
        read_source(zipped(root), AS_FOUND)


def test_the_bytes_are_those_of_the_files(root: Path, pack: Callable[[Path], Path]) -> None:
    (root / "labels.csv").write_text(table("path", "label"))
    files = read_data_set(pack(root)).train
    assert all(files.open(k) == (root / files.paths[k]).read_bytes() for k in range(len(files)))
    assert files.store.stamps(files.root, files.paths[:1])
    assert os.sep in files.where(0)


def test_a_table_of_training_images_alone_can_be_judged_on_all_of_them(root: Path) -> None:
    (root / "t.csv").write_text(divided(lambda k: "train"))
    assert (read_held_out(root / "t.csv").split, len(read_held_out(root / "t.csv").files)) == ("all", 24)
