"""The size of files and functions stays within limits; and the script that measures them counts as it says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import structure
from walks.walk import walk_from

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {"file lines": 400, "function lines": 60, "arguments": 8, "complexity": 15}
KNOWN: dict[str, set[str]] = {
    "file lines": set(),
    "function lines": set(),
    "arguments": set(),
    "complexity": set(),
}
"""What is over a limit today. It only gets shorter: what is listed and no longer over its limit must leave."""


@pytest.fixture(scope="module")
def found() -> dict[str, list[tuple[str, int]]]:
    """What is over each limit today."""
    return structure.over_the_limits(*structure.measure(ROOT, ["hardener", "serving"]), limits=LIMITS)


@pytest.mark.parametrize("what", LIMITS)
def test_nothing_new_is_over_a_limit_and_what_is_no_longer_leaves_the_list(
    what: str, found: dict[str, list[tuple[str, int]]]
) -> None:
    over = dict(found[what])
    assert {name: over[name] for name in over.keys() - KNOWN[what]} == {}, f"over {LIMITS[what]} {what}"
    assert KNOWN[what] - over.keys() == set(), f"no longer over {LIMITS[what]} {what}: take them off the list"


def test_a_functions_lines_arguments_and_complexity() -> None:
    source = '''
class Square:
    def area(self, side, /, *others, scale=1, **more):
        """Doc."""
        if side and scale:        # one decision: boolean operators are none
            return side
        elif others:
            return 1
        try:
            for other in others:
                pass
        except ValueError:
            pass
        else:
            def inner():
                while side:
                    pass
        match side:
            case 1:
                pass
            case _:
                pass
        return [one for one in others if one]
'''
    area, inner = structure.functions_of(ast.parse(source), "file.py")
    assert (area.name, area.lines, area.arguments) == ("file.py:Square.area", 21, 4)
    assert area.complexity == 9, "1, if, elif, for, except, else of try, inner, its while, one case that is no wildcard"
    assert (inner.name, inner.lines, inner.complexity) == ("file.py:Square.area.inner", 3, 2)


def test_a_commands_signature_is_left_out() -> None:
    source = "def run(\n    a: Annotated[int, 1],\n    b: int,\n) -> None:\n    '''Doc.'''\n    print(a, b)\n"
    (command,) = structure.functions_of(ast.parse(source), "hardener/cli/run.py")
    (function,) = structure.functions_of(ast.parse(source), "hardener/data/run.py")
    assert (command.lines, command.arguments) == (2, None)
    assert (function.lines, function.arguments) == (6, 2)


def test_percentiles_are_values_that_occur() -> None:
    values = list(range(10, 0, -1))
    assert [structure.percentile(values, share) for share in (10, 50, 90, 91, 100)] == [1, 5, 9, 10, 10]


def written(root: Path, **files: str) -> Path:
    """A package `hardener` of these modules."""
    (root / "hardener").mkdir()
    (root / "hardener" / "__init__.py").write_text("")
    for name, text in files.items():
        (root / "hardener" / f"{name}.py").write_text(text)
    return root


def test_a_walk_reads_each_function_once_in_the_order_of_the_calls(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        top="def start():\n    from hardener.left import first, third\n    first()\n    third()\n    first()\n",
        left="from hardener import right\ndef first():\n    right.second()\ndef third():\n    pass\n",
        right="import hardener.far\ndef second():\n    return len([])\n",
        far="def never():\n    pass\n",
    )
    walk = walk_from(root, "hardener.top", "start")
    assert walk.stays == tuple(f"hardener/{name}.py" for name in ("top", "left", "right", "left"))
    assert walk.both_ways == [("hardener/left.py", "hardener/right.py")]
    assert walk.calls == {("hardener/top.py", "hardener/left.py"), ("hardener/left.py", "hardener/right.py")}
    assert walk.mutual == []


def test_a_walk_follows_methods_where_the_class_is_evident(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        top="from hardener.a import make, use\ndef start():\n    thing = make()\n    thing.go()\n    use([thing])\n",
        a="from hardener.b import Thing\ndef make() -> Thing:\n    return Thing(1)\n"
        "def use(things: list[Thing]):\n    for thing in things:\n        thing.size\n",
        b="from hardener.c import helper, sized\nfrom hardener.d import Part\n"
        "class Thing:\n    def __init__(self, part: Part | None):\n        self.part = part\n"
        "    def go(self):\n        self.part.work()\n    @property\n    def size(self):\n        return sized()\n",
        c="def helper():\n    pass\ndef sized():\n    pass\n",
        d="class Part:\n    def work(self):\n        pass\n",
    )
    walk = walk_from(root, "hardener.top", "start")
    assert walk.stays == tuple(f"hardener/{name}.py" for name in ("top", "a", "b", "d", "a", "b", "c"))
    assert ("hardener/top.py", "hardener/b.py") in walk.calls
    assert ("hardener/a.py", "hardener/b.py") in walk.calls


def test_a_walk_finds_callbacks_protocols_and_the_example_of_a_catalog(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        top="from hardener.work import work\nfrom hardener.loud import Loud\n"
        "def start():\n    work(Loud(), done)\ndef done():\n    pass\n",
        work="from typing import Protocol\nfrom hardener.shelf import SHELF, TOOLS\n"
        "class Speaker(Protocol):\n    def say(self): ...\n"
        "def work(speaker: Speaker, on_done):\n    speaker.say()\n    on_done()\n    SHELF['pgd']\n    TOOLS\n",
        loud="class Loud:\n    def say(self):\n        pass\n",
        shelf="from hardener.tools import saw\n"
        "SHELF = {'pgd': ('hardener.pgd:pgd', 'text'), 'cw': ('hardener.cw:cw', '')}\n"
        "TOOLS = [('saw', saw)]\n",
        pgd="def pgd():\n    pass\n",
        cw="def cw():\n    pass\n",
        tools="def saw():\n    pass\n",
    )
    walk = walk_from(root, "hardener.top", "start")
    assert walk.files == [f"hardener/{name}.py" for name in ("loud", "pgd", "tools", "top", "work")]
    assert walk.mutual == [("hardener/top.py", "hardener/work.py")], "the callback is called by who gets it"
    assert ("hardener/work.py", "hardener/loud.py") in walk.calls
    left = walk_from(root, "hardener.top", "start", ("hardener/loud",))
    assert left.files == [f"hardener/{name}.py" for name in ("pgd", "tools", "top", "work")]
