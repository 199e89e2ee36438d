"""The files that a request passes, found by reading the code: calls followed from a function, nothing is run.

A reader starts at a function and goes into each function or class of hardener's own that it calls, in the order in
which the calls stand, once each. `files` are those that are passed. A move is from the file of one function to that of
the next one read; a pair of files is walked both ways where moves between them occur in both directions. `calls` are
pairs of files of which code in the first calls something in the second, whether it was read before or not.

Calls are followed through imports (those inside functions too), methods of objects whose class is evident, and
catalogs. What is evident: `self`, annotated parameters and fields, what a constructor or an annotated function
returned, and elements of annotated lists. Further:

- A function that is handed to another by its name (a callback) is called there: by that other's file.
- A call through a base class or a protocol also reaches those classes on the walk that may answer it.
- A class that is constructed is reached with its special methods and validators; a property that is read is called.
- Of a catalog ("name" -> "module:function", or -> the thing itself) the entry that the request names is followed, which
  is one of EXAMPLES; where none of them is in it, every entry.

All branches are walked. Not followed: lambdas and parameters that are called, modules that are looked up by name, and
what a library calls back.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from walks.meaning import Scope, Source, is_property
from walks.modules import Function, is_self
from walks.thing import Thing


@dataclass(frozen=True)
class Walk:
    """Files in the order in which they are read, function by function; and which file calls which."""

    stays: tuple[str, ...]
    calls: frozenset[tuple[str, str]]

    @property
    def files(self) -> list[str]:
        """Every file that is passed."""
        return sorted(set(self.stays))

    @property
    def both_ways(self) -> list[tuple[str, str]]:
        """Pairs of files that the reader goes between in both directions."""
        return both_ways(set(zip(self.stays, self.stays[1:], strict=False)))

    @property
    def mutual(self) -> list[tuple[str, str]]:
        """Pairs of files that call each other."""
        return both_ways(set(self.calls))


def both_ways(moves: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs that occur in both directions."""
    return sorted((a, b) for a, b in moves if a < b and (b, a) in moves)


@dataclass(frozen=True)
class Call:
    """Code in `file` calls `to`; `through`: the class and method that it names, which other classes may answer."""

    file: str
    to: Thing | None
    through: tuple[Thing, str] | None = None


class Walker:
    """Follows calls until nothing new is reached."""

    def __init__(self, source: Source, leave_out: tuple[str, ...] = ()) -> None:
        self.source, self._leave_out = source, leave_out
        self._calls: dict[Thing, list[Call]] = {}

    def go(self, start: Thing, towards: str | None = None) -> Walk:
        """Return the walk from a function; with `towards`, the part of it that leads into a file, and from there on."""
        reached, found = {start}, 0
        while len(reached) != found:  # what is constructed late may answer a call that was read before
            found = len(reached)
            for thing in sorted(reached):
                reached |= self._reached_from(thing, reached)
        made = {thing for thing in reached if thing.kind == "class"}
        stays, calls = [self._file(start)], set()
        seen = {start} | (set() if towards is None else reached - self._leading(reached, made, towards))
        passed = {start}
        for file, thing, is_new in self._read(start, made, seen):
            if towards is not None and not is_new and thing not in passed:
                continue
            passed.add(thing)
            target = self._file(thing)
            calls |= {(file, target)} if file != target else set()
            if is_new and stays[-1] != target:
                stays.append(target)
        return Walk(tuple(stays), frozenset(calls))

    def _leading(self, reached: set[Thing], made: set[Thing], towards: str) -> set[Thing]:
        """Return what is on a way into a file: what leads there, what stands there, and what that calls."""
        edges = {thing: [to for call in self._calls_of(thing) for to in self._targets(call, made)] for thing in reached}
        there = {thing for thing in reached if self._file(thing) == towards}
        callers: dict[Thing, set[Thing]] = {}
        for thing, called in edges.items():
            for to in called:
                callers.setdefault(to, set()).add(thing)
        return closure(there, edges) | closure(there, callers)

    def _reached_from(self, start: Thing, before: set[Thing]) -> set[Thing]:
        """Return what is reached from a thing, beyond what was reached before."""
        made = {thing for thing in before if thing.kind == "class"}
        found = {to for call in self._calls_of(start) for to in self._targets(call, made)}
        return found - before

    def _read(self, thing: Thing, made: set[Thing], seen: set[Thing]) -> Iterator[tuple[str, Thing, bool]]:
        """Yield (caller's file, callee, whether it is new) in the order of reading: into each callee the first time."""
        for call in self._calls_of(thing):
            for to in self._targets(call, made):
                is_new = to not in seen
                yield call.file, to, is_new
                if is_new:
                    seen.add(to)
                    yield from self._read(to, made, seen)

    def _targets(self, call: Call, made: set[Thing]) -> list[Thing]:
        """Return where a call goes, given the classes that are constructed anywhere on the walk."""
        found = [] if call.to is None else [call.to]
        if call.through is not None:
            owner, name = call.through
            for other in sorted(made):
                if other != owner and self.source.answers(other, owner):
                    method = self.source.method(other, name)
                    found += [method] if method is not None and method not in found else []
        return [thing for thing in found if not self._file(thing).startswith(self._leave_out)]

    def _file(self, thing: Thing) -> str:
        return self.source.modules[thing.module].file

    def _calls_of(self, thing: Thing) -> list[Call]:
        if thing not in self._calls:
            node = self.source.node(thing)
            if isinstance(node, ast.ClassDef):
                self._calls[thing] = self._of_class(thing)
            elif isinstance(node, Function):
                self._calls[thing] = self._of_function(thing)
            else:  # a value that a catalog names: what makes it is called
                made = [node] if isinstance(node, ast.Call) else []
                scope = Scope(self.source, thing.module)
                self._calls[thing] = [found for call in made for found in self._call(call, scope, self._file(thing))]
        return self._calls[thing]

    def _of_class(self, thing: Thing) -> list[Call]:
        """Return the special methods and validators of a class: whoever constructs it is said to call them."""
        found = []
        for base in self.source.bases(thing):
            for item in getattr(self.source.node(base), "body", []):
                if isinstance(item, Function) and (item.name.startswith("__") or is_validator(item)):
                    found.append(Call(self._file(thing), Thing("function", base.module, f"{base.name}.{item.name}")))
        return found

    def _of_function(self, thing: Thing) -> list[Call]:
        node, file = self.source.node(thing), self._file(thing)
        assert isinstance(node, Function), "a function"
        outside, scope = Scope(self.source, thing.module), self.source.scope(thing)
        found = []
        for decorator in node.decorator_list:
            expression = decorator.func if isinstance(decorator, ast.Call) else decorator
            found += [Call(file, to) for to in sorted(outside.meaning(expression)) if to.kind in {"function", "class"}]
        parts = [part for statement in node.body for part in ast.walk(statement) if isinstance(part, ast.expr)]
        for part in sorted(parts, key=lambda part: (part.end_lineno or 0, part.end_col_offset or 0)):
            if isinstance(part, ast.Call):
                found += self._call(part, scope, file)
            elif isinstance(part, ast.Attribute):
                found += self._property(part, scope, file)
            if isinstance(part, ast.Name | ast.Attribute) and isinstance(part.ctx, ast.Load):
                values = [value for value in sorted(scope.meaning(part)) if value.kind == "value"]
                found += [Call(file, entry) for value in values for entry in sorted(self.source.entries(value))]
        return found

    def _call(self, node: ast.Call, scope: Scope, file: str) -> list[Call]:
        """Return what a call is to, and what its callee calls of the functions that it is handed."""
        called = sorted(scope.called(node))
        found = []
        if isinstance(node.func, ast.Attribute) and node.func.attr.startswith("model_validate"):
            found += [Call(file, to) for to in sorted(scope.meaning(node.func.value)) if to.kind == "class"]
        found += [Call(file, to, self._through(node.func, scope)) for to in called]
        for argument in [*node.args, *(word.value for word in node.keywords)]:
            if isinstance(argument, ast.Name | ast.Attribute):
                handed = [thing for thing in sorted(scope.meaning(argument)) if thing.kind == "function"]
                callers = [self._file(to) for to in called] or [file]
                found += [Call(caller, thing) for thing in handed for caller in callers]
        return found

    def _through(self, node: ast.expr, scope: Scope) -> tuple[Thing, str] | None:
        if isinstance(node, ast.Attribute) and not is_self(node.value):
            for thing in sorted(scope.meaning(node.value)):
                if thing.kind == "object":
                    return thing._replace(kind="class"), node.attr
        return None

    def _property(self, node: ast.Attribute, scope: Scope, file: str) -> list[Call]:
        methods = [
            self.source.method(thing._replace(kind="class"), node.attr)
            for thing in sorted(scope.meaning(node.value))
            if thing.kind == "object"
        ]
        return [
            Call(file, method) for method in methods if method is not None and is_property(self.source.node(method))
        ]


def closure(start: set[Thing], edges: Mapping[Thing, Iterable[Thing]]) -> set[Thing]:
    """Return what can be reached along edges, the start included."""
    found, waiting = set(start), list(start)
    while waiting:
        new = set(edges.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


def is_validator(node: Function) -> bool:
    """Tell whether pydantic calls a method when an object is made."""
    return any("validator" in ast.unparse(decorator) for decorator in node.decorator_list)


def walk_from(
    root: Path, module: str, function: str, leave_out: tuple[str, ...] = (), *, towards: str | None = None
) -> Walk:
    """Return the walk from a function of a checkout, without the files below some paths; see `Walker.go`."""
    return Walker(Source(root), leave_out).go(Thing("function", module, function), towards)
