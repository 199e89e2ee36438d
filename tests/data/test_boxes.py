"""What lies in boxes: which numbers a box is, which frame it counts on, and that its pixels come as they are read."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.data.decode import decode_image


def converted(source: Path, target: Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["convert", str(source), str(target)])
    return result.exit_code, " ".join(result.output.split())


def steps(width: int, height: int) -> NDArray[np.uint8]:
    """Draw an image that tells where each pixel lies: red is x, green is y."""
    found = np.zeros((height, width, 3), np.uint8)
    found[..., 0], found[..., 1] = np.arange(width), np.arange(height)[:, None]
    return found


def pixels(path: Path) -> NDArray[np.uint8]:
    """Read an image as the loader does, at its own size."""
    with Image.open(path) as image:
        width, height = image.size
    return decode_image(path.read_bytes(), height=height, width=width, channels=3)


def cuts(root: Path, ending: str = ".png") -> list[Path]:
    """Return what was cut out of two images, a box each."""
    found = [path for path in root.rglob("*.*") if path.is_file()]
    assert [path.suffix for path in found] == [ending] * 2
    return found


def yolo(root: Path, *lines: str, **told: Any) -> Path:
    """Write an image of 100 by 100 for each line."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for number, line in enumerate(lines):
        Image.fromarray(steps(100, 100)).save(root / "images" / f"{number}.png")
        (root / "labels" / f"{number}.txt").write_text(line + "\n")
    (root / "data.yaml").write_text(yaml.safe_dump({"names": ["cat", "dog"], **told}))
    return root


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("0.5 0.5 0.2 0.1", None),
        ("0.5 0.5 0.2 0.1 0.91", None),
        ("0.5 0.5 0.2 0.1 0.45 0.45 2 0.9 0.9 0", [2, 3]),
        ("0.5 0.5 0.2 0.1 0.45 0.45 0.9 0.9", [2, 2]),
        ("0.5 0.5 0.2 0.1 0.45 0.45 0.9 0.9 0.77", [2, 2]),
        ("0.4 0.45 0.6 0.45 0.6 0.55", None),
    ],
)
def test_a_box_is_no_shape_whatever_stands_behind_it(line: str, shape: list[int] | None, tmp_path: Path) -> None:
    told = {} if shape is None else {"kpt_shape": shape}
    code, said = converted(yolo(tmp_path / "from", f"0 {line}", f"1 {line}", **told), tmp_path / "to")
    assert code == 0, said
    for path in cuts(tmp_path / "to"):
        assert (pixels(path) == steps(100, 100)[45:55, 40:60]).all()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1 0.5 0.5 0.2 0.2 0.45 0.45 2 0.55 0.55 2", "10 numbers behind a class are neither .* write kpt_shape into"),
        ("1 0.5 0.5 0.2 0.2 0.45 0.45 0.1", "7 numbers behind a class are neither a box, of 4 or"),
        ("2 0.5 0.5 0.2 0.2", "line 1 of .*1.txt has the class 2, and 2 classes are named, 0 to 1. Name every class"),
    ],
)
def test_numbers_that_are_no_box_and_classes_without_a_name_are_refused(line: str, says: str, tmp_path: Path) -> None:
    code, said = converted(yolo(tmp_path / "from", "0 0.5 0.5 0.2 0.2", line), tmp_path / "to")
    assert code == 2
    assert re.search(says, said), said


def test_boxes_that_are_left_out_are_counted(tmp_path: Path) -> None:
    source = yolo(tmp_path / "from", "0 0.5 0.5 0.2 0.2", "1 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.01 0.2", "1 0.5 0.5 0.2 0.2")
    (source / "images" / "2.png").unlink()
    code, said = converted(source, tmp_path / "to")
    assert code == 0
    assert "left out: 1 boxes of fewer than 8 pixels (1, box 2)" in said
    assert "left out: 1 file of boxes without their image (2.txt)" in said


def voc(home: Path, name: str, kind: str) -> None:
    for folder in ("Annotations", "images"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(steps(100, 100)).save(home / "images" / f"{name}.png")
    box = "<bndbox><xmin>10</xmin><ymin>10</ymin><xmax>40</xmax><ymax>40</ymax></bndbox>"
    text = f"<annotation><filename>{name}.png</filename><object><name>{kind}</name>{box}</object></annotation>"
    (home / "Annotations" / f"{name}.xml").write_text(text)


def written(root: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for path in root.rglob("*.png"):
        folder = str(path.parent.relative_to(root))
        found[folder] = found.get(folder, 0) + 1
    return found


def test_each_folder_of_a_split_with_annotations_of_its_own_is_converted(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for number in range(4):
            voc(tmp_path / "from" / split, f"{split}{number}", ("cat", "dog")[number % 2])
    assert converted(tmp_path / "from", tmp_path / "to")[0] == 0
    assert written(tmp_path / "to") == {f"{s}/{kind}": 2 for s in ("train", "val", "test") for kind in ("cat", "dog")}


@pytest.mark.parametrize("above", [True, False])
def test_the_years_of_a_challenge_are_converted_together(above: bool, tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        home = tmp_path / "from" / "VOCdevkit" / year
        (home / "ImageSets" / "Main").mkdir(parents=True)
        for number in range(5):
            voc(home, f"{year}{number}", ("cat", "dog")[number % 2])
        for split, numbers in (("trainval", (0, 1)), ("test", (2, 3))):
            (home / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{year}{n}\n" for n in numbers))
    code, said = converted(tmp_path / "from" if above else tmp_path / "from" / "VOCdevkit", tmp_path / "to")
    assert code == 0
    assert written(tmp_path / "to") == {f"{split}/{kind}": 2 for split in ("train", "test") for kind in ("cat", "dog")}
    assert "left out: 2 files of boxes that no list in ImageSets/Main names (VOC20074.xml, VOC20124.xml)" in said


def coco(root: Path, *images: Image.Image, box: list[int], size: tuple[int, int] | None, **how: Any) -> Path:
    found: dict[str, Any] = {"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]}
    told = {} if size is None else {"width": size[0], "height": size[1]}
    found["images"] = [{"id": number, "file_name": f"{number}.png", **told} for number in range(len(images))]
    found["annotations"] = [{"image_id": number, "category_id": number, "bbox": box} for number in range(len(images))]
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "instances_all.json").write_text(json.dumps(found))
    for number, image in enumerate(images):
        image.save(root / f"{number}.png", **how)
    return root / "annotations" / "instances_all.json"


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("frame", ["upright", "stored", "untold"])
def test_a_box_counts_on_the_frame_that_its_list_names(orientation: int, frame: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    stored = Image.fromarray(steps(100, 50))
    file = io.BytesIO()
    stored.save(file, "PNG", exif=exif)
    turned = orientation > 4
    upright = decode_image(file.getvalue(), height=100 if turned else 50, width=50 if turned else 100, channels=3)
    left, top, right, bottom = 10, 5, 40, 25
    want = upright[top:bottom, left:right]
    if frame == "stored" and turned:
        red, green = steps(100, 50)[top:bottom, left:right, :2].reshape(-1, 2).T
        inside = np.isin(upright[..., 0], red) & np.isin(upright[..., 1], green)
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        want = upright[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    size = {"upright": upright.shape[1::-1], "stored": (100, 50), "untold": None}[frame]
    source = coco(tmp_path / "from", stored, stored, box=[left, top, right - left, bottom - top], size=size, exif=exif)
    assert converted(source, tmp_path / "to")[0] == 0
    for path in cuts(tmp_path / "to"):
        assert (pixels(path) == want).all()


def test_yolo_counts_on_the_image_the_right_way_up(tmp_path: Path) -> None:
    source = yolo(tmp_path / "from", "0 0.5 0.2 0.4 0.2", "1 0.5 0.2 0.4 0.2")  # upright: x 15 to 35, y 10 to 30
    exif = Image.Exif()
    exif[274] = 6
    for number in range(2):
        Image.fromarray(steps(100, 50)).save(source / "images" / f"{number}.png", exif=exif)
    upright = decode_image((source / "images" / "0.png").read_bytes(), height=100, width=50, channels=3)
    assert converted(source, tmp_path / "to")[0] == 0
    for path in cuts(tmp_path / "to"):
        assert (pixels(path) == upright[10:30, 15:35]).all()


def test_levels_of_more_than_8_bits_stay_and_transparency_hides_what_it_hides(tmp_path: Path) -> None:
    deep = np.arange(10000, dtype=np.uint16).reshape(100, 100) * 6
    clear = np.zeros((100, 100, 4), np.uint8)
    clear[..., 0] = 255
    source = coco(tmp_path / "a", Image.fromarray(deep), Image.fromarray(clear), box=[10, 20, 30, 40], size=(100, 100))
    assert converted(source, tmp_path / "to")[0] == 0
    with Image.open(next((tmp_path / "to" / "cat").iterdir())) as image:
        assert (np.asarray(image) == deep[20:60, 10:40]).all()
    assert (pixels(next((tmp_path / "to" / "dog").iterdir())) == 255).all()


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_levels_that_are_no_16_bits_stay_too(kind: type, tmp_path: Path) -> None:
    levels: NDArray[Any] = (np.arange(10000).reshape(100, 100) * 9 - 40000).astype(kind)
    source = yolo(tmp_path / "from", "0 0.25 0.4 0.3 0.4", "1 0.25 0.4 0.3 0.4")
    for number in range(2):
        (source / "images" / f"{number}.png").unlink()
        Image.fromarray(levels).save(source / "images" / f"{number}.tif")
    assert converted(source, tmp_path / "to")[0] == 0
    for path in cuts(tmp_path / "to", ".tif"):
        with Image.open(path) as image:
            assert (np.asarray(image) == levels[20:60, 10:40]).all()


def test_colours_of_16_bits_keep_their_low_bytes(tmp_path: Path) -> None:
    colors = np.random.default_rng(0).integers(0, 65536, (40, 40, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in colors)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    file = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(own)) + kind + own + struct.pack(">I", zlib.crc32(kind + own)) for kind, own in parts
    )
    source = coco(tmp_path / "a", Image.new("L", (1, 1)), Image.new("L", (1, 1)), box=[4, 8, 20, 10], size=None)
    for number in range(2):
        (source.parents[1] / f"{number}.png").write_bytes(file)
    assert converted(source, tmp_path / "to")[0] == 0
    for path in cuts(tmp_path / "to"):
        data = path.read_bytes()
        place = data.index(b"IDAT")
        (length,) = struct.unpack(">I", data[place - 4 : place])
        found = np.frombuffer(zlib.decompress(data[place + 4 : place + 4 + length]), np.uint8).reshape(10, -1)
        assert found[:, 1:].tobytes() == colors[8:18, 4:24].tobytes()


def test_names_of_classes_that_windows_wrote_keep_their_letters(tmp_path: Path) -> None:
    """Notepad marks UTF-8 by a first character that nobody sees, and one mark of Unicode is no end of a line."""
    root = yolo(tmp_path / "set", *("0 0.5 0.5 0.2 0.2", "1 0.5 0.5 0.2 0.2") * 3)
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_bytes("\ufeffcat\r\ndog\u2028small\r\n".encode())
    assert converted(root, tmp_path / "out")[0] == 0
    assert sorted({path.parent.name for path in (tmp_path / "out").rglob("*.png")}) == ["cat", "dog\u2028small"]
    (root / "classes.txt").write_bytes("cat\ncaf\xe9\n".encode("latin-1"))
    code, said = converted(root, tmp_path / "again")
    assert code == 2, said
    assert "classes.txt is not UTF-8 (line 2)" in said
    assert "iconv -f WINDOWS-1252" in said
