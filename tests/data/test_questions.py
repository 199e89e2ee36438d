"""Tables of several questions about the same images, as WikiArt's of artists, genres and styles: one is chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from test_two_readings import count, read, refusal, typed

QUESTIONS = {"artist": 3, "genre": 2, "style": 4}


def wikiart(root: Path, *tables: str, folders: bool = False, words: bool = False, start: str = "{}_{}") -> Path:
    """Write 24 images, in one folder or in two, and tables of some questions, without names of columns."""
    names = [f"{('Cubism', 'Baroque')[number // 12] if folders else 'images'}/p{number:03}.png" for number in range(24)]
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number, 5, 7)).save(root / name)
    for table in tables:
        question, split = table.split("_")
        rows = [
            f"{name},{question if words else ''}{number // 2 % QUESTIONS[question]}"
            for number, name in enumerate(names)
            if (number % 12 > 7) == (split == "val")
        ]
        (root / f"{start.format(question, split)}.csv").write_text("\n".join(rows) + "\n")
    return root


ALL = [f"{question}_{split}" for question in QUESTIONS for split in ("train", "val")]


@pytest.mark.parametrize("folders", [False, True])
@pytest.mark.parametrize("start", ["{}_{}", "{1}_{0}"])
def test_each_question_has_a_line_that_reads_it_alone(folders: bool, start: str, tmp_path: Path) -> None:
    root = wikiart(tmp_path / "d", *ALL, folders=folders, start=start)
    lines = [line for line in typed(refusal(root)) if "--data" in line]
    assert len(lines) == 3
    for line, (question, classes) in zip(lines, QUESTIONS.items(), strict=True):
        found = read(root, line)
        assert question in line["--data"][0]
        assert question in line["--val"][0]
        assert len(found.classes) == classes
        assert (count(found), found.drawn) == (24, ("test",))


@pytest.mark.parametrize("words", [False, True])
def test_a_list_of_another_question_validates_nothing(words: bool, tmp_path: Path) -> None:
    root = wikiart(tmp_path / "d", "artist_train", "genre_val", words=words)
    (alone, together) = typed(refusal(root))
    assert len(read(root, alone).classes) == 3
    assert together["--val"] == [f"{root}/genre_val.csv"]
    root = wikiart(tmp_path / "e", "artist_train", "genre_train", "genre_val", words=words)
    ways = [line for line in typed(refusal(root)) if "--data" in line]
    assert [list(way) for way in ways] == [["--data"], ["--data", "--val"]]
    root = wikiart(tmp_path / "f", "artist_train", "genre_val", folders=True, words=words)
    assert "genre_val.csv takes" not in refusal(root)
    assert list(typed(refusal(root))[0]) == ["--data"]


def test_lists_of_one_question_are_read_together_whatever_their_names(tmp_path: Path) -> None:
    root = wikiart(tmp_path / "d", "artist_train", "artist_val")
    assert count(read(root, {})) == 24
    (root / "artist_train.csv").rename(root / "train_labels.csv")
    assert count(read(root, {})) == 24
    root = wikiart(tmp_path / "e", "artist_train", "artist_val", words=True)
    (root / "artist_val.csv").rename(root / "painters_val.csv")
    assert count(read(root, {})) == 24
