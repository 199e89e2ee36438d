"""What the files around a model file say of its settings and calls: read, and never run."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import yaml

from hardener.models.code.arguments import CLASS_COUNT, Takes, plain
from hardener.models.code.calls import arguments_in, calls_of, parser_argument
from hardener.models.code.files_around import files_around, module_of
from hardener.models.code.files_read import unheard
from hardener.models.code.imports_read import imported_as, repository_above
from hardener.models.code.model_file import ModelFile
from hardener.models.code.names_read import (
    bound_in,
    constants_in,
    dotted,
    in_branches,
    is_len,
    is_plain,
    setting_read,
    settings_in,
    written_out,
)
from hardener.models.code.selections import Selection, selections
from hardener.models.code.settings_object import Given
from hardener.models.code.source_code import called_name, computed, literal

_MOST_CALLS = 12
_NUMBERS = re.compile(r"-?\d+(\.\d+)?([-,_x ]+\d+(\.\d+)?)+")
_POWER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")  # 1e-4, which YAML 1.1 takes for a word
_TRIES = re.compile(r"_*(test|demo|debug|check)", re.IGNORECASE)
_COMMENT, _WORD = re.compile(r"^\s*//.*$", re.MULTILINE), re.compile(r"\w+")
_OLD_WORD = re.compile(r"\basync\s*=")  # .cuda(async=True), as scripts of Python 3.6 have it
_Names = tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """A value that is written somewhere under a name; `module` is what to import it from, empty where importing that
    file may do more than define."""

    name: str
    value: SimpleNamespace | dict[str, Any]
    module: str = ""


@dataclass(frozen=True)
class Spelled:
    """What code elsewhere gives by its name, to be looked up: `models.blocks.Basic`, `torch.nn.ReLU()`."""

    text: str


@dataclass
class Repository:
    """What is written around a model file.

    Attributes:
        settings: by the names that lead there, in lower case and without `_`: values, as
            `add_argument("--depth", default=28)`, `_C.MODEL.DEPTH = 28` or a YAML file have them.
        records: `NAME = Kind(first=..., second=...)` of literals.
        definers: the modules that only define, and may be imported.
        empty: the settings, by name as above, that are an empty text by default.
        package: the folder of the model file, which scripts may take its names from.
    """

    settings: dict[_Names, list[Any]] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    definers: set[str] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)
    package: str = ""
    _trees: list[tuple[ast.Module, str]] = field(default_factory=list)
    _counts: dict[_Names, _Names] = field(default_factory=dict)

    def values(self, path: _Names) -> list[Any]:
        """Return what a setting may be: those whose names agree farthest, from the last one on, come first."""
        return _each_once(itertools.chain.from_iterable(values for _, values in self._agreeing(path)))

    def values_at(self, path: _Names) -> list[Any]:
        """Return what a setting is where more than its last name agrees: `conv1.padding`, not any `padding`."""
        found = self._agreeing(path)
        most = found[0][0] if found else 0
        return [] if most < 2 else _each_once(one for agreed, values in found if agreed == most for one in values)

    def _agreeing(self, path: _Names) -> list[tuple[int, list[Any]]]:
        """Return how many names agree, and the values, those that agree farthest first."""
        wanted = tuple(map(plain, path))
        found = [(_agreeing(wanted, names), len(names), values) for names, values in self.settings.items()]
        ranked = sorted((one for one in found if one[0]), key=lambda one: (-one[0], one[1]))
        return [(agreed, values) for agreed, _, values in ranked]

    def calls(
        self, name: str, taken: Takes, last: str = "", among: Container[str] = (), *, whole: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Yield what a class or a function is called with elsewhere, as far as that is written there.

        Args:
            last: a file, by its name, whose calls come after all others. Those of tests come before it.
            among: the names of its file; a call of what is chosen among them by a setting may be one of it.
            whole: also what is not written there, as `...`.
        """
        chosen = [one.call for one in self.chosen(last, among) if one.call is not None]
        trees = sorted(self._trees, key=lambda one: (one[1].rpartition(".")[2] == last, "test" in one[1]))
        found = ((tree, module, *call) for tree, module in trees for call in calls_of(name, tree, taken, chosen))
        for tree, module, call, around in itertools.islice(found, _MOST_CALLS):
            local = {} if around is None else {**constants_in(around), **in_branches(around, self._by_default)}
            constants = {**_spelled(tree, module), **constants_in(tree), **local}
            given = [*self._spread(call, taken, constants), *arguments_in(call, taken.names)]
            pairs = {key: self._value(node, constants) for key, node in given if key in taken.names}
            yield {key: value for key, value in pairs.items() if value is not ... or whole}

    def called_besides(self, stem: str) -> frozenset[str]:
        """Return the names of all classes and functions that are called outside of one file and of tests, and that are
        not of the file which calls them."""
        files = [names for names, module in self._called if module.rpartition(".")[2] != stem and "test" not in module]
        return frozenset(itertools.chain.from_iterable(files))

    @functools.cached_property
    def _called(self) -> list[tuple[set[str], str]]:
        own = (
            {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
            for tree, _ in self._trees
        )
        return [(called_in(tree) - names, module) for names, (tree, module) in zip(own, self._trees, strict=True)]

    @property
    def trees(self) -> list[ast.Module]:
        """The code that was read."""
        return [tree for tree, _ in self._trees]

    def chosen(self, stem: str, among: Container[str]) -> list[Selection]:
        """Return what scripts choose by a setting among some names of a file, what is made the network first."""
        files = {module.rpartition(".")[2] for _, module in self._trees} - {stem, self.package}
        own = [(one, names) for one, names in self._selected if one.owner.rpartition(".")[2] not in files]
        first = [(one, next((name for name in names if name in among), "")) for one, names in own]
        return [dataclasses.replace(one, name=name) for one, name in first if name]

    @functools.cached_property
    def _selected(self) -> list[tuple[Selection, list[str]]]:
        """What scripts choose by a setting, with the name that it has by default, or else all that it may have."""
        found = []
        for tree, module in self._trees:
            own = {name: whole.rpartition(".")[2] for name, whole in imported_as(ast.walk(tree)).items()}
            for one in selections(tree) if "test" not in module else ():
                named = [one.name] if one.name else self.values((one.setting,))
                names = [value for value in named if isinstance(value, str)]
                found.append((dataclasses.replace(one, owner=own.get(one.owner, one.owner)), names))
        return sorted(found, key=lambda one: not one[0].is_network)

    @functools.cached_property
    def constants(self) -> dict[str, Any]:
        """What names in capitals stand for that files set at their top, where all that set them agree."""
        found: dict[str, list[Any]] = {}
        for tree, _ in self._trees:
            own = constants_in(tree)
            sets = [
                node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            ]
            for node in sets:
                value = literal(node.value, ...)
                value = computed(node.value, functools.partial(_number, own)) if value is ... else value
                found.setdefault(ast.unparse(node.targets[0]), []).append(value)
        agreed = {name: values[0] for name, values in found.items() if len({repr(one) for one in values}) == 1}
        return {name: value for name, value in agreed.items() if name.isupper() and value is not ...}

    def words(self, but: str) -> set[str]:
        """Return the words that code names, besides that of one file."""
        nodes = (node for tree, module in self._trees if module.rpartition(".")[2] != but for node in ast.walk(tree))
        return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}

    def like(self, names: _Names) -> list[Record]:
        """Return the records that hold all of some names."""
        return [record for record in self.records if set(names) <= set(vars(record.value))]

    def _by_default(self, name: str) -> Any:
        """Return what a setting is by default; None where that is not known."""
        return next(iter(self.values((name,))), None)

    def _value(self, node: ast.expr, constants: Mapping[str, Any]) -> Any:
        """Return what an expression stands for there; `...` where that is not known."""
        name = ".".join(dotted(node))
        known = constants.get(name, ...) if name else ...
        if isinstance(known, ast.expr):  # net = Net(width) where width = args.width
            return self._value(known, {**constants, name: ...})
        if known is ... and (read := setting_read(node)):  # args.depth, cfg["depth"]
            known = next(iter(self.values((read,))), ...)
        if known is ... and name.isupper():  # of a file of constants, from config import *
            known = self.constants.get(name, ...)
        if known is not ... or isinstance(node, ast.Name):
            return known
        if isinstance(node, ast.BinOp) or (isinstance(node, ast.Call) and called_name(node) in ("int", "float")):
            return computed(node, functools.partial(self._value, constants=constants))
        called = isinstance(node, ast.Call)
        names = dotted(node.func if isinstance(node, ast.Call) else node)
        first = constants.get(names[0]) if names else None
        if isinstance(first, Spelled):
            text = ".".join([first.text, *names[1:]])
            if not isinstance(node, ast.Call) or is_plain(node):
                return Spelled(text + "()" * called)
            given = self._spelled_arguments(node, constants)
            return ... if given is None else Spelled(f"{text}({given})")
        return literal(node, ...)

    def _spread(self, call: ast.Call, taken: Takes, constants: Mapping[str, Any]) -> Iterator[tuple[str, ast.expr]]:
        """Yield what a call gives by `**`: what a mapping holds that is written there, and else the settings of that
        name (`**cfg["model"]`), or all (`**vars(args)`)."""
        for node in (keyword.value for keyword in call.keywords if keyword.arg is None):
            held = constants.get(node.id, node) if isinstance(node, ast.Name) else node
            if isinstance(held, dict):
                yield from ((str(key), ast.Constant(value)) for key, value in held.items())
            elif isinstance(held, ast.Dict):
                pairs = zip(held.keys, held.values, strict=True)
                yield from ((str(key.value), value) for key, value in pairs if isinstance(key, ast.Constant))
            elif isinstance(held, ast.Call) and called_name(held) == "dict" and not held.args:
                yield from ((one.arg, one.value) for one in held.keywords if one.arg is not None)
            else:
                place = setting_read(held) if isinstance(held, ast.expr) else ""
                for name in taken.names:
                    values = self.values_at((place, name)) if place and place != "__dict__" else self.values((name,))
                    if values:
                        yield name, ast.Constant(values[0])

    def _spelled_arguments(self, call: ast.Call, constants: Mapping[str, Any]) -> str | None:
        """Return a call's arguments as they would be typed; None where one of them is not known."""
        pairs = [*((None, one) for one in call.args), *((one.arg or "**", one.value) for one in call.keywords)]
        found = [(name, self._value(one, constants)) for name, one in pairs]
        values = [(name, None if one is ... and plain(name or "") in CLASS_COUNT else one) for name, one in found]
        if any(value is ... or name == "**" or isinstance(value, ast.expr) for name, value in values):
            return None
        texts = [(name, value.text if isinstance(value, Spelled) else repr(value)) for name, value in values]
        return ", ".join(text if name is None else f"{name}={text}" for name, text in texts)


@functools.lru_cache(maxsize=4)
def repository_of(file: ModelFile) -> Repository:
    """Read the files of the repository that a model file lies in; those beside it where it lies in none."""
    top = repository_above(file.own)
    found = Repository(package=file.own.parent.name)
    readers: list[tuple[int, Callable[[], None]]] = []
    own = {one.name for one in _code_of(file) if isinstance(one, ast.ClassDef | ast.FunctionDef)}
    for path in files_around(top or file.own.parent, deep=top is not None):
        try:
            with unheard():
                text = path.read_text(encoding="utf-8")
            if path.suffix == ".py":
                tree = ast.parse(_OLD_WORD.sub("non_blocking=", text))
                module = module_of(path, file, tree)
                found.definers |= {module.removesuffix(".__init__")} if module else set()
                found._trees.append((tree, module or path.stem))
                uses = any(file.name in whole.split(".") for whole in imported_as(ast.walk(tree)).values())
                readers.append((0 if uses else 2, functools.partial(_read_code, tree, found, module)))
            else:
                text = _COMMENT.sub("", text) if path.suffix == ".json" else text
                value = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
                names_it = not own.isdisjoint(_WORD.findall(text))
                readers.append((1 if names_it else 2, functools.partial(_read_mapping, value, (), found)))
        except (OSError, ValueError, SyntaxError, RecursionError, yaml.YAMLError):
            continue
    for _, read in sorted(readers, key=lambda one: one[0]):  # first scripts that import the file, then what names it
        with contextlib.suppress(ValueError, RecursionError):
            read()
    for names, other in found._counts.items():  # args.stages = len(args.widths)
        lists = [one for one in map(as_list, found.values(other)) if isinstance(one, list)]
        for one in lists[:1]:
            _keep(names, len(one), found)
    return found


def _code_of(file: ModelFile) -> list[ast.stmt]:
    try:
        with unheard():
            return ast.parse(file.own.read_text(encoding="utf-8")).body
    except (OSError, ValueError, SyntaxError, RecursionError):
        return []


def as_list(value: Any) -> Any:
    """Return the list that a text such as `1-2-4` stands for; anything else as it is."""
    if not isinstance(value, str) or not _NUMBERS.fullmatch(value.strip()):
        return value
    return [float(one) if "." in one else int(one) for one in re.findall(r"\d+(?:\.\d+)?", value)]


def _read_code(tree: ast.Module, found: Repository, module: str) -> None:
    bound = bound_in(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("add_argument", "DEFINE_integer"):
            _read_argument(node, found)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            names = dotted(target)
            if isinstance(target, ast.Attribute) and names and names[0] != "self":
                _keep(names[1:], literal(node.value, ...), found)
                counted = dotted(node.value.args[0]) if is_len(node.value) else ()
                found._counts |= {names[1:]: counted[1:]} if len(counted) > 1 else {}
            elif isinstance(target, ast.Name) and isinstance(node.value, ast.Call):
                record = {str(k.arg): written_out(k.value) for k in node.value.keywords if k.arg is not None}
                values = node.value.args
                known = module if getattr(node.value.func, "id", "") in bound else ""
                if record and not values and ... not in record.values():
                    found.records.append(Record(target.id, SimpleNamespace(**record), known))
                elif known and not record and len(values) == 1 and isinstance(values[0], ast.Dict):
                    _keep_mapping(target.id, literal(values[0], ...), known, found)
            elif isinstance(target, ast.Name) and isinstance(node.value, ast.Dict):
                _read_mapping(literal(node.value, ...), (), found)
        elif isinstance(node, ast.ClassDef):
            for name, value in settings_in(node):
                _keep((node.name, name), value, found)
        elif isinstance(node, ast.List):  # OrderedDict([("depth", 26), ...])
            for key, value in (one.elts for one in node.elts if isinstance(one, ast.Tuple) and len(one.elts) == 2):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    _keep((key.value,), literal(value, ...), found)


def _keep_mapping(name: str, value: Any, module: str, found: Repository) -> None:
    """Keep `NAME = dotdict({...})`, which code may read as `NAME.width` and as `NAME["width"]`."""
    if isinstance(value, dict) and value and all(isinstance(key, str) and key.isidentifier() for key in value):
        found.records.append(Record(name, Given(value), module))
        _read_mapping(value, (), found)


def _read_argument(call: ast.Call, found: Repository) -> None:
    """Read `parser.add_argument("--depth", default=28, choices=[…])`."""
    argument = parser_argument(call)
    if not argument.name:
        return
    choices, default = argument.told.get("choices"), argument.told["default"]
    found.empty |= {plain(argument.name)} if default == "" else set()
    if not isinstance(default, bool) and default in (-1, ""):  # it stands for what was not given
        default = None
    values = [default, *(choices if isinstance(choices, list | tuple) else [])]
    for value in values:
        _keep((argument.name,), ... if value is None else value, found)


def _read_mapping(value: Any, names: _Names, found: Repository) -> None:
    if isinstance(value, dict) and len(names) < 6:
        for key, one in value.items():
            if isinstance(key, str):
                _read_mapping(one, (*names, key), found)
    elif names:
        _keep(names, with_powers(value), found)


def with_powers(value: Any) -> Any:
    """Return the number that a text such as `1e-4` is, and anything else as it is."""
    return float(value) if isinstance(value, str) and _POWER.fullmatch(value) else value


def _keep(names: _Names, value: Any, found: Repository) -> None:
    if names and value is not ... and value is not None and not isinstance(value, dict):
        found.settings.setdefault(tuple(map(plain, names)), []).append(value)


@functools.lru_cache(maxsize=512)
def _spelled(tree: ast.Module, module: str) -> Mapping[str, Spelled]:
    """Return what a file's names of classes, functions and modules are called elsewhere: those that it imports, and its
    own."""
    named = imported_as(ast.walk(tree)).items()
    found = {name: Spelled(whole) for name, whole in named}
    own = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    return found | {name: Spelled(f"{module}.{name}") for name in own}


def called_in(tree: ast.Module) -> set[str]:
    """Return the names of what a file calls, also by other names; none that it just tries out in a function."""
    functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and _TRIES.match(one.name)]
    trying = {id(node) for one in functions for node in ast.walk(one)}
    nodes = [node for node in ast.walk(tree) if id(node) not in trying]
    aliases = [one for node in nodes if isinstance(node, ast.ImportFrom) for one in node.names if one.asname]
    names = {called_name(node) for node in nodes if isinstance(node, ast.Call)}
    return names | {alias.name for alias in aliases if alias.asname in names}


def _number(own: Mapping[str, Any], node: ast.expr) -> Any:
    return own.get(getattr(node, "id", ""), literal(node, ...))


def _agreeing(wanted: _Names, names: _Names) -> int:
    """Return how many names agree, counted from the last."""
    pairs = zip(reversed(wanted), reversed(names), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _each_once(values: Iterable[Any]) -> list[Any]:
    return list({repr(value): value for value in values}.values())
