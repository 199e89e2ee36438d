"""What the code of a model file says, read and not run: what makes a network, and what uses what."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import itertools
import operator
import re
import textwrap
import types
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from hardener.models.code.arguments import NO_DEFAULT, Takes, class_count_name, takes

_NEVER = re.compile(
    r"^(main|train|test|fit|run|demo|eval|evaluate|validate|inference|infer|predict|benchmark|export|profile|summary|"
    r"parse|save|download|plot|show|print|check|count|weights|replace|fuse|convert)(_|\d|$)|"
    r"(^|_)(\w*loader|dataset|transforms?|optim\w*|criterion|scheduler|args|loss|config|cfg|metrics?|hook|state_dict)(_|$)",
    re.I,
)
_MAKES = re.compile(r"^(build|create|get|make|construct|define|new)", re.I)
_NETWORK = re.compile(
    r"(net|resnet|vgg|vit|densenet|mobilenet|inception|xception|swin|convnext|mixer|model|cnn|transformer|deit)", re.I
)
_TRAINS = {"backward", "zero_grad", "parse_args", "DataLoader"}
_DEEPEST = 6
_Handed = tuple[Any, int | None, set[str], bool]
_ARITHMETIC: dict[type[ast.operator], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
_OF_NUMBERS: dict[str, Callable[[Any], Any]] = {"int": int, "float": float}


@functools.lru_cache(maxsize=4096)
def code_of(value: Any) -> ast.AST | None:
    """Return the definition of a class or a function, None where it cannot be read."""
    try:
        text = textwrap.dedent(inspect.getsource(inspect.unwrap(value)))
        tree = ast.parse(text)
    except (OSError, TypeError, SyntaxError, ValueError, IndentationError):
        return None
    if getattr(value, "__name__", "") == "<lambda>":
        return next((node for node in ast.walk(tree) if isinstance(node, ast.Lambda)), None)
    return tree.body[0] if tree.body else None


def scope_of(value: Any) -> dict[str, Any]:
    """Return the names that are global to a class's or a function's code."""
    unwrapped = inspect.unwrap(value) if callable(value) else value
    if inspect.isclass(unwrapped):
        init = unwrapped.__dict__.get("__init__") or unwrapped.__dict__.get("forward")
        return getattr(init, "__globals__", {})
    scope = getattr(unwrapped, "__globals__", {})
    return {**scope, "cls": unwrapped.__self__} if inspect.ismethod(unwrapped) else scope


def looked_up(node: ast.expr, scope: dict[str, Any]) -> Any:
    """Return what a name, or names with dots, stand for in a scope; None for nothing."""
    if isinstance(node, ast.Name):
        return scope.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = looked_up(node.value, scope)
        return (
            getattr(owner, node.attr, None) if isinstance(owner, types.ModuleType) or inspect.isclass(owner) else None
        )
    return None


def used_by(value: Any) -> list[Any]:
    """Return what a class's or a function's code names: other classes, functions, modules' members."""
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, nn.Module):
        return list({type(module) for module in value.modules()})
    tree, scope = code_of(value), scope_of(value)
    if tree is None:
        return list(value.__mro__[1:]) if inspect.isclass(value) else []
    found = [
        looked_up(node, scope)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)
    ]
    return [one for one in found if one is not None and one is not value]


def called_name(call: ast.Call) -> str:
    """Return the last part of the name that a call has for what it calls: `resnet18` of `models.resnet18()`."""
    return str(getattr(call.func, "id", getattr(call.func, "attr", "")))


def names_passed(module: types.ModuleType, called: str) -> set[str]:
    """Return the names that a module's code gives to what it calls by some name: `Block` in `Net(Block, 3)`."""
    return {
        one.id
        for call in ast.walk(tree_of(module))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == called
        for one in [*call.args, *(keyword.value for keyword in call.keywords)]
        if isinstance(one, ast.Name)
    }


@functools.lru_cache(16)
def tree_of(module: types.ModuleType) -> ast.Module:
    """Return the code of a module; an empty one where it cannot be read."""
    try:
        return ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return ast.Module([], [])


def is_network_class(value: Any) -> bool:
    """Is this a class of networks?"""
    return inspect.isclass(value) and issubclass(value, nn.Module)


def makes_network(value: Any, *, by_name: bool = True) -> bool:
    """Does a function return a network? Its code says so: what it returns, its annotation, or its name.

    Args:
        by_name: let a name such as `make_net`, with an argument that is the number of classes, be enough.
    """
    if isinstance(value, functools.partial):
        return is_network_class(value.func) or makes_network(value.func, by_name=by_name)
    if not inspect.isfunction(inspect.unwrap(value) if callable(value) else value):
        return False
    name = getattr(value, "__name__", "")
    if _NEVER.search(name) or _trains(value):
        return False
    if _returns_network(value, 0):
        return True
    taken = takes(value)
    named = by_name and (_MAKES.match(name) is not None or (name == name.lower() and _NETWORK.search(name) is not None))
    return bool(named and taken is not None and class_count_name(taken) is not None)


def factories_of(value: type) -> list[str]:
    """Return the names of a class's own class methods that build it, such as `from_name`; those that read weights are
    left out where there are others."""
    found = []
    for name, one in vars(value).items():
        tree = code_of(one.__func__) if isinstance(one, classmethod) and not name.startswith("_") else None
        if not isinstance(tree, ast.FunctionDef) or not any(isinstance(node, ast.Return) for node in _own_nodes(tree)):
            continue
        called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        built = any(_is_name(one, "cls") or _is_name(one, value.__name__) for one in called)
        if built or any(isinstance(one, ast.Attribute) and _is_name(one.value, "cls") for one in called):
            found.append((name, built and "pretrained" not in name))
    plain_ones = [name for name, is_plain in found if is_plain]
    return plain_ones or [name for name, _ in found if "pretrained" in name]


def reached(value: Any, depth: int = 0) -> Takes | None:
    """Read what a class or a function takes, and what its `**kwargs` are handed on to."""
    taken = takes(value)
    target = value.func if isinstance(value, functools.partial) else value
    if taken is None or not taken.anything or depth > _DEEPEST:
        return taken
    code = _initialiser(target) if inspect.isclass(target) else target
    for name, default in {} if code is None else _asked_of_keywords(code).items():
        taken.names.setdefault(name, default)
    if inspect.isclass(target):
        inner = [base for base in target.__mro__[1:] if base is not object and "__init__" in vars(base)][:1]
        calls: list[_Handed] = [(base, 0, set(), True) for base in inner if base is not nn.Module]
    else:
        calls = list(_handed_on(target))
    handed = [(reached(callee, depth + 1), placed, named, asks) for callee, placed, named, asks in calls]
    needed = [set(further.required()) for further, *_ in handed if further is not None]
    for further, placed, named, asks in handed:
        if further is not None:
            filled = further.required() if placed is None else list(further.names)[:placed]
            bound = {*named, *filled}  # what stands in place may go through *args
            for name, default in further.names.items():
                if name not in taken.names and name not in bound:
                    asked = asks and all(name in own for own in needed)  # another branch may do without
                    taken.names[name] = default if asked or default is not NO_DEFAULT else None
                    taken.annotations.setdefault(name, further.annotations.get(name))
    return taken


def _initialiser(value: type) -> Any:
    """Return the `__init__` that a class has, where it is written in Python and no other class wraps it."""
    return next((one for base in value.__mro__ if inspect.isfunction(one := vars(base).get("__init__"))), None)


def _asked_of_keywords(function: Any) -> dict[str, Any]:
    """Return what a function's code asks of its `**kwargs`: `kwargs["width"]`, `kwargs.get("width", 1)`."""
    tree = code_of(function)
    if not isinstance(tree, ast.FunctionDef) or tree.args.kwarg is None:
        return {}
    keywords, found = tree.args.kwarg.arg, dict[str, Any]()

    def ask(key: ast.expr, default: Any) -> None:
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            found.setdefault(key.value, default)

    for node in ast.walk(tree):  # what code asks for first may be left out
        if isinstance(node, ast.Compare) and _is_name(node.comparators[0], keywords):
            ask(node.left, None)
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and _is_name(node.value, keywords):
            ask(node.slice, NO_DEFAULT)
        elif isinstance(node, ast.Call) and _is_asking(node.func, keywords) and node.args:
            default = NO_DEFAULT if getattr(node.func, "attr", "") == "pop" else None
            ask(node.args[0], default if len(node.args) == 1 else literal(node.args[1], None))
        elif isinstance(node, ast.Call) and _is_name(node.func, "map") and _is_asking(node.args[0], keywords):
            for key in node.args[1].elts if isinstance(node.args[1], ast.List | ast.Tuple) else ():
                ask(key, None)
    return found


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_asking(node: ast.AST, keywords: str) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("get", "pop") and _is_name(node.value, keywords)


def literal(node: ast.expr, otherwise: Any) -> Any:
    """Return what a literal stands for; `otherwise` for any other expression."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return otherwise


def computed(node: ast.expr, value_of: Callable[[ast.expr], Any]) -> Any:
    """Return what a sum, a product or the like of two numbers is, or `int` of one; `...` where that is not known."""
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        parts = [value_of(node.left), value_of(node.right)]
        if all(type(one) in (int, float) for one in parts):
            with contextlib.suppress(ArithmeticError):
                return _ARITHMETIC[type(node.op)](*parts)
    if isinstance(node, ast.Call) and called_name(node) in _OF_NUMBERS and len(node.args) == 1 and not node.keywords:
        number = computed(node.args[0], value_of)
        number = value_of(node.args[0]) if number is ... else number
        return _OF_NUMBERS[called_name(node)](number) if type(number) in (int, float) else ...
    return ...


def _handed_on(function: Any) -> Iterator[_Handed]:
    """Yield what a function calls with its `**kwargs`, how many arguments are bound there by place already and which by
    name, and whether the rest has to be given: what it reads in a table need not. None: `*make_layers(…)` binds all
    that have to be given."""
    tree, scope = code_of(function), scope_of(function)
    own = getattr(getattr(getattr(tree, "args", None), "vararg", None), "arg", None)
    tables = set() if tree is None else _read_in_tables(tree)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and any(keyword.arg is None for keyword in node.keywords):
            callee = looked_up(node.func, scope)
            if inspect.isclass(callee) or inspect.isfunction(callee) or inspect.ismethod(callee):
                placed = list(itertools.takewhile(lambda one: not isinstance(one, ast.Starred), node.args))
                filled = any(isinstance(one, ast.Starred) and not _is_name(one.value, own or "") for one in node.args)
                given = {str(keyword.arg) for keyword in node.keywords if keyword.arg}
                spread_of = {ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg is None}
                yield callee, None if filled else len(placed), given, not spread_of & tables


def _read_in_tables(tree: ast.AST) -> set[str]:
    """Return the names that hold what code reads in tables: `values = TABLE[name]`, `values.update(TABLE[name])`."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _reads_a_table(node.value):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "update":
            found |= {ast.unparse(node.func.value)} if any(map(_reads_a_table, node.args)) else set()
    return found


def _reads_a_table(node: ast.expr) -> bool:
    return any(isinstance(one, ast.Subscript) for one in ast.walk(node))


def _trains(function: Any) -> bool:
    tree = code_of(function)
    if tree is None:
        return False
    return any(isinstance(node, ast.Call) and called_name(node) in _TRAINS for node in ast.walk(tree))


def _returns_network(function: Any, depth: int) -> bool:
    target = inspect.unwrap(function)
    if _is_network_annotation(getattr(target, "__annotations__", {}).get("return"), scope_of(target)):
        return True
    tree, scope = code_of(target), scope_of(target)
    if tree is None or depth > _DEEPEST:
        return False
    if isinstance(tree, ast.Lambda):
        return _makes(tree.body, scope, {}, depth)
    if not isinstance(tree, ast.FunctionDef):
        return False
    own = list(_own_nodes(tree))
    local: dict[str, list[ast.expr]] = {}
    for node in own:
        if isinstance(node, ast.Assign):
            for name in [target for target in node.targets if isinstance(target, ast.Name)]:
                local.setdefault(name.id, []).append(node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            local.setdefault(node.target.id, []).append(node.value)
    returned = [node.value for node in own if isinstance(node, ast.Return) and node.value is not None]
    return any(_makes(value, scope, local, depth) for value in returned)


def _own_nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop(0)
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            pending += ast.iter_child_nodes(node)


def _makes(node: ast.expr, scope: dict[str, Any], local: dict[str, list[ast.expr]], depth: int) -> bool:
    """Does an expression make a network?"""
    if depth > _DEEPEST:
        return False
    if isinstance(node, ast.Name):
        if node.id in local:
            values = local[node.id]
            others = {key: value for key, value in local.items() if key != node.id}
            return any(_makes(value, scope, others, depth + 1) for value in values)
        return isinstance(scope.get(node.id), nn.Module)
    if isinstance(node, ast.IfExp):
        return _makes(node.body, scope, local, depth) or _makes(node.orelse, scope, local, depth)
    if isinstance(node, ast.Tuple):
        return bool(node.elts) and _makes(node.elts[0], scope, local, depth)
    if not isinstance(node, ast.Call):
        return False
    callee = looked_up(node.func, scope)
    if callee is None and isinstance(node.func, ast.Attribute):  # Net(…).eval(), net.to(device)
        return _makes(node.func.value, scope, local, depth + 1)
    if callee is None and isinstance(node.func, ast.Subscript):  # NETWORKS[name](…)
        table = looked_up(node.func.value, scope)
        made = list(table.values()) if isinstance(table, dict) else []
        return any(is_network_class(one) or _returns_network_safely(one, depth) for one in made)
    if callee is None and isinstance(node.func, ast.Name) and node.func.id in local:
        return any(is_network_class(looked_up(value, scope)) for value in local[node.func.id])
    if is_network_class(callee):
        return True
    return _returns_network_safely(callee, depth)


def _returns_network_safely(callee: Any, depth: int) -> bool:
    if isinstance(callee, functools.partial):
        return is_network_class(callee.func) or _returns_network_safely(callee.func, depth)
    if not inspect.isfunction(callee):
        return False
    where = getattr(callee, "__module__", "") or ""
    known = where.startswith("timm.") and callee.__name__ in {"create_model", "build_model_with_cfg"}
    return (
        known
        or (where, callee.__name__) == ("torchvision.models._api", "get_model")
        or _returns_network(callee, depth + 1)
    )


def _is_network_annotation(annotation: Any, scope: dict[str, Any]) -> bool:
    if isinstance(annotation, str):
        try:
            return is_network_class(looked_up(ast.parse(annotation, mode="eval").body, scope))
        except SyntaxError:
            return False
    return is_network_class(annotation)
