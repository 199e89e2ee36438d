"""What messages advise can be followed: each option that they name is one of a command.

`tests/conftest.py` looks besides at each error that a command shows in a test: what it advises is the command's own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from advice import OF_OTHER_PROGRAMS, OPTION, commands, unknown_advice

PACKAGE = Path(__file__).resolve().parent.parent / "hardener"


def messages(path: Path) -> Iterator[str]:
    """The texts of a file that are no docstrings."""
    tree = ast.parse(path.read_text())
    notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes:
            yield node.value


def test_every_option_that_a_text_names_is_one_of_a_command() -> None:
    known = set().union(*commands().values()) | OF_OTHER_PROGRAMS
    named = {
        (str(path.relative_to(PACKAGE)), option)
        for path in PACKAGE.rglob("*.py")
        for text in messages(path)
        for option in OPTION.findall(text)
    }
    assert len(named) > 50
    assert {(path, option) for path, option in named if option not in known} == set()


def test_advice_is_for_the_command_that_gives_it_or_for_the_one_that_it_names() -> None:
    assert unknown_advice("Pass --replace-head.", "train") == []
    assert unknown_advice("Pass --replace-head.", "eval") == ["--replace-head of eval"]
    assert unknown_advice("Train it: hardener train MODEL --data DIR --replace-head.", "eval") == []
    assert unknown_advice("Go on: hardener train --resume R. Or pass --resume.", "eval") == ["--resume of eval"]
    assert unknown_advice("hardener serve --init x; --debug shows more", "train") == ["--init of serve"]
