"""Settings that a file keeps in a table: which come first."""

from __future__ import annotations

from pathlib import Path

from hardener.models.choosing.repository import repository_of
from hardener.models.choosing.tables import kept_lists, kept_settings
from hardener.models.code.model_file import find_model_file, imported

TABLES = """
NETS = {"large": {"width": 9, "depth": 3}, "small": {"width": 2, "depth": 1}, "testing": {"width": 1, "depth": 1}}
OTHER = {"width": {"x": 1}}
CFG = {"B": [8, "M", 8], "A": [4, "M"], "sizes": [1, 2]}
"""


def test_the_smallest_comes_first_and_what_is_for_tests_last(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(TABLES)
    file = find_model_file(tmp_path / "net.py")
    with imported(file) as found:
        guesses = kept_settings(["width", "depth"], found, repository_of(file))
        lists = kept_lists(2, found, repository_of(file))
    assert [one.text for one in guesses] == ["NETS.small", "NETS.large", "NETS.testing"]
    assert guesses[0].others == ("NETS.large", "NETS.testing")
    assert [one.text for one in lists] == ["CFG.A", "CFG.B"]


def texts(folder: Path) -> list[str]:
    repository_of.cache_clear()
    file = find_model_file(folder / "net.py")
    with imported(file) as found:
        return [one.text for one in kept_settings(["width", "depth"], found, repository_of(file))]


def test_what_a_script_chooses_comes_before_the_smallest(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(TABLES)
    (tmp_path / "train.py").write_text("parser.add_argument('--net', choices=['small', 'large'], default='large')\n")
    assert texts(tmp_path) == ["NETS.large", "NETS.small", "NETS.testing"]
    (tmp_path / "train.py").write_text("network = NETS['large']\n")
    assert texts(tmp_path) == ["NETS.large", "NETS.small", "NETS.testing"]
