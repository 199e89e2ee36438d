"""What stands in the place of a recipe's file and is none, and what is near no key, each told in a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardener.config.recipe import load_recipe
from hardener.errors import HardenerError


def told(name: str | Path, *sets: str) -> str:
    with pytest.raises(HardenerError) as caught:
        load_recipe(str(name), sets)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", ["own", "own.yaml"])
def test_a_folder_is_told_as_one_with_a_file_in_it(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    assert f"{folder} is a folder, and a recipe is a YAML file or one of: certified, " in told(folder)
    (folder / "mine.yml").touch()
    assert told(folder).endswith(f". Name a file in it, such as --recipe {folder}/mine.yml")
    (folder / "recipe.yaml").touch()
    assert (
        told(folder) == f"{folder} is a run. Its recipe is the file {folder}/recipe.yaml: --recipe {folder}/recipe.yaml"
    )


@pytest.mark.parametrize("text", ["", "# all of it\n# epochs: 3\n", "---\n"])
def test_a_file_without_a_key_is_refused(text: str, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(text)
    assert told(own).startswith(f"{own} holds no key: is it the file that is meant?")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "vicinity:\n\tnoise_sigma: 0.1\n",
            "line 2, column 1: found character '\\t' that cannot start any ",
        ),
        ("epochs: [3\n", "line 2, column 1: expected ',' or ']', but got"),
    ],
)
def test_what_is_not_yaml_is_told_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(text)
    found = told(own)
    assert found.startswith(f"{own} is not YAML: {said}")
    assert found.endswith("YAML takes no tabs around keys: write spaces") == ("\t" in text)


def test_an_unknown_key_that_is_near_none_comes_with_those_that_are_known() -> None:
    assert told("natural", "foo=1").startswith("natural.yaml: unknown key 'foo'. Known: name, method, epochs, ")
    found = told("natural", "optimizer.foo=1")
    assert found.startswith("natural.yaml: unknown key 'optimizer.foo'. Known of optimizer: name, options, lr, ")
