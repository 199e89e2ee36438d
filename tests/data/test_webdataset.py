"""WebDataset's groups: which member is the image, and which one tells its class."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardener.config.reading import AS_FOUND, Reading
from hardener.data.data_set import read_source
from hardener.data.image_files import ImageFiles
from hardener.errors import HardenerError


def picture(level: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), level, np.uint8)).save(file, "PNG")
    return file.getvalue()


PICTURES = [picture(level) for level in range(20)]


def held(files: ImageFiles) -> set[bytes]:
    return {files.open(place) for place in range(len(files))}


def shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_one_image_without_a_class_takes_no_names_from_its_shard(tmp_path: Path) -> None:
    for place in range(2):
        told = {f"{n}.{end}": data for n in range(10) for end, data in (("png", PICTURES[n]), ("cls", b"%d" % (n % 2)))}
        if place:
            del told["4.cls"]
        shard(tmp_path / f"d-{place}.tar", told)
    (tmp_path / "classes.txt").write_text("zebra\ncat\n")
    brought = read_source(tmp_path, AS_FOUND)
    assert brought.classes == ("zebra", "cat")  # in the order of the file, which numbers them
    assert [(fact.reason, fact.count) for fact in brought.left_out] == [("rows without a class", 1)]
    (tmp_path / "classes.txt").write_text("zebra\n")
    brought = read_source(tmp_path, AS_FOUND)
    assert brought.classes == ("0", "1")
    assert [doubt for doubt in brought.doubts if "names 1 classes, and there is the label 1: it was not used" in doubt]


def test_a_depth_beside_an_image_is_not_taken_for_it(tmp_path: Path) -> None:
    depth, image = PICTURES[:10], PICTURES[10:20]
    ends = {"cls": [b"%d" % (n % 2) for n in range(10)], "depth.png": depth, "png": image}
    path = shard(tmp_path / "a.tar", {f"{n}.{end}": data[n] for n in range(10) for end, data in ends.items()})
    (group,) = read_source(path, AS_FOUND).splits.values()
    assert held(group.labelled(("0", "1"))) == set(image)
    ends = {"cls": ends["cls"], "depth.png": depth, "rgb.png": image}
    path = shard(tmp_path / "b.tar", {f"{n}.{end}": data[n] for n in range(10) for end, data in ends.items()})
    with pytest.raises(
        HardenerError, match="several images of one key: 0.depth.png, 0.rgb.png. .* --path-column depth"
    ):
        read_source(path, AS_FOUND)
    (group,) = read_source(path, Reading(path_column="rgb.png")).splits.values()
    assert held(group.labelled(("0", "1"))) == set(image)


def test_a_caption_does_not_hide_the_class_in_a_json(tmp_path: Path) -> None:
    told = [b'{"label": "cat", "breed": "x"}', b'{"label": "dog", "breed": "y"}']
    ends = {"png": PICTURES, "json": told * 5, "txt": [b"a photo", b"a picture", b"another", b"a photo", b"one"] * 2}
    path = shard(tmp_path / "a.tar", {f"{n}.{end}": data[n] for n in range(10) for end, data in ends.items()})
    assert read_source(path, AS_FOUND).classes == ("cat", "dog")
    ends["cls"] = [b"0", b"1"] * 5
    path = shard(tmp_path / "b.tar", {f"{n}.{end}": data[n] for n in range(10) for end, data in ends.items()})
    assert read_source(path, AS_FOUND).classes == ("0", "1")
    assert read_source(path, Reading(label_column="breed")).classes == ("x", "y")
