"""What names let doubt is told under "what to do" too, with the command that settles it."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_inspect_data import look

from hardener.config.reading import Reading
from hardener.data.data_set import read_data_set


@pytest.mark.parametrize(
    ("names", "option", "classes", "grave"),
    [
        (["cat/{}.png", "cat/{}_mask.png", "dog/{}.png"], "--ignore", "cat dog", True),
        (["car/{}.png", "train/{}.png", "bus/{}.png"], "--ignore", "bus car", False),
        (
            [f"{{}}/{word}.png" for word in ("calm", "glum", "happy", "sad")],
            "--label-from",
            "calm glum happy sad",
            False,
        ),
    ],
)
def test_a_doubt_about_names_has_its_command(
    names: list[str], option: str, classes: str, grave: bool, tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    for name in names:
        for number in range(6):
            path = tmp_path / name.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (9, 9, 3), np.uint8)).save(path)
    found = look(tmp_path)
    (piece,) = [piece for piece in found.advice if option in piece.command]
    assert piece.grave == grave
    words = shlex.split(piece.command)
    value = words[words.index(option) + 1]
    given: dict[str, object] = {"ignore": (value,)} if option == "--ignore" else {"label_from": value}
    assert " ".join(read_data_set(tmp_path, reading=Reading.model_validate(given)).classes) == classes
