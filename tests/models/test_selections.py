"""What scripts choose by a setting: the names and calls are read, whichever way code looks a name up."""

from __future__ import annotations

import ast

import pytest

from hardener.models.code.selections import selections

WAYS = {
    "getattr": "getattr(nets, args.arch)(num_classes=3, wide=True)",
    "__dict__": "nets.__dict__[args.arch](num_classes=3, wide=True)",
    "vars": "vars(nets)[args.arch](num_classes=3, wide=True)",
    "globals": "globals()[args.arch](num_classes=3, wide=True)",
    "eval": "eval(args.arch)(num_classes=3, wide=True)",
    "eval of a sum": "eval('nets.' + args.arch)(num_classes=3, wide=True)",
    "eval of a text": "eval(f'nets.{args.arch}')(num_classes=3, wide=True)",
    "a module's table": "nets.TABLE[args.arch](num_classes=3, wide=True)",
    "a key": "getattr(nets, cfg['arch'])(num_classes=3, wide=True)",
    "a name": "getattr(nets, arch)(num_classes=3, wide=True)",
}
PARSER = "parser.add_argument('-a', '--arch', default='deep')\narch = args.arch\n"


@pytest.mark.parametrize("way", WAYS)
def test_what_a_setting_chooses_and_what_it_is_given(way: str) -> None:
    (found,) = selections(ast.parse(f"{PARSER}model = {WAYS[way]}"))
    assert (found.setting, found.name, found.is_network) == ("arch", "deep", True)
    assert found.call is not None
    assert [keyword.arg for keyword in found.call.keywords] == ["num_classes", "wide"]


def test_a_table_names_what_its_key_stands_for() -> None:
    (found,) = selections(ast.parse(f"{PARSER}T = {{'flat': Flat, 'deep': nets.Deep}}\nteacher = T[args.arch](wide=1)"))
    assert (found.name, found.is_network) == ("Deep", False)


def test_what_is_kept_and_called_later_is_called() -> None:
    found = list(selections(ast.parse(f"{PARSER}Net = getattr(nets, args.arch)\nteacher = Net()\nmodel = Net(wide=1)")))
    assert [one.is_network for one in found] == [True, False], "what is made the network comes first"
    assert found[0].call is not None
    assert ast.unparse(found[0].call) == "Net(wide=1)"
