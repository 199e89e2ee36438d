from __future__ import annotations

import pytest

from hardener.config.run_name import LONGEST, MOST_BYTES, check_run_name, fitting_name
from hardener.errors import HardenerError

GOOD = ["a", "first run", "v1.2-x_y", "Müller", "猫と犬", "r" * 100, "a..b", "été 🐈", "~x", "a:b"]
BAD = {
    "": "is empty", "   ": "is empty", " a": "with a space", "a ": "with a space", "a/b": "--out", "a\\b": "--out",
    "..": "begins with '.'", ".": "begins with '.'", ".hidden": "begins with '.'", "-x": "begins with '-'",
    "/etc": "separators", "a\nb": r"holds '\\n'", "a\x00b": "holds", "a\x7fb": "holds", "a\x1b[31m": "holds",
    "a\u2028b": "holds", "caf\udce9": "holds", "r" * 101: "101 characters", "猫" * 90: "270 bytes",
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_plain_names_of_any_script_are_taken(name: str) -> None:
    check_run_name(name)
    assert fitting_name(name) == name


@pytest.mark.parametrize("name", BAD)
def test_other_names_are_refused_and_the_name_that_is_offered_is_taken(name: str) -> None:
    with pytest.raises(HardenerError, match=BAD[name]) as told:
        check_run_name(name)
    offered = str(told.value).rpartition("--name ")[2]
    check_run_name(offered)
    assert len(offered) <= LONGEST
    assert len(offered.encode()) <= MOST_BYTES
