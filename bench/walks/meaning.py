"""What names and expressions of a package mean, found by reading its code: nothing is imported, nothing is run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from walks.modules import Function, Module, assignments, imports_of, is_self
from walks.thing import NONE, Thing, Things, elements, many

EXAMPLES = ("pgd", "linf", "ce", "vicinity-risk")
TARGET = re.compile(r"[a-z_]+(\.\w+)+:\w+")
LISTS = {"list", "Sequence", "Iterator", "Iterable", "Generator", "Collection", "set", "frozenset", "deque"}
SAME_AS_FIRST = {"replace", "copy", "deepcopy", "sorted", "list", "tuple", "reversed"}
SAME_OBJECT = {"model_copy", "eval", "to", "train"}


class Source:
    """Every module of a checkout's package, and what names in it mean."""

    def __init__(self, root: Path, package: str = "hardener") -> None:
        self.modules: dict[str, Module] = {}
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            self.modules[name] = Module(name, path, root)
        self._busy: set[tuple[Thing, str, str]] = set()
        self._scopes: dict[Thing, Scope] = {}
        self._attributes: dict[tuple[Thing, str], Things] = {}

    def look_up(self, module: str, name: str) -> Things:
        """Return what a name on a module's top level means."""
        home = self.modules.get(module)
        if home is None:
            return NONE
        if name in home.names:
            node = home.names[name]
            if isinstance(node, Function):
                return frozenset({Thing("function", module, name)})
            if isinstance(node, ast.ClassDef):
                return frozenset({Thing("class", module, name)})
            return frozenset({Thing("value", module, name)})
        if name in home.imports:
            return self.imported(*home.imports[name])
        if f"{module}.{name}" in self.modules:
            return frozenset({Thing("module", f"{module}.{name}")})
        return NONE

    def imported(self, module: str, name: str) -> Things:
        """Return what an import means."""
        if name:
            return self.look_up(module, name)
        return frozenset({Thing("module", module)}) if module in self.modules else NONE

    def node(self, thing: Thing) -> ast.AST:
        """Return the definition of a function, class or value."""
        node: ast.AST = self.modules[thing.module].names[thing.name.partition(".")[0]]
        for part in thing.name.split(".")[1:]:
            assert isinstance(node, ast.ClassDef), "only classes hold definitions"
            node = next(n for n in reversed(node.body) if isinstance(n, Function | ast.ClassDef) and n.name == part)
        return node

    def bases(self, owner: Thing) -> list[Thing]:
        """Return a class and the classes of hardener's own that it comes from, nearest first."""
        node = self.node(owner)
        assert isinstance(node, ast.ClassDef), "a class"
        found = [owner]
        for base in node.bases:
            for thing in Scope(self, owner.module).meaning(base):
                if thing.kind == "class":
                    found += self.bases(thing)
        return found

    def method(self, owner: Thing, name: str) -> Thing | None:
        """Return the method that a class has by that name, its own or inherited."""
        for base in self.bases(owner):
            node = self.node(base)
            assert isinstance(node, ast.ClassDef), "a class"
            if any(isinstance(item, Function) and item.name == name for item in node.body):
                return Thing("function", base.module, f"{base.name}.{name}")
        return None

    def methods(self, owner: Thing) -> set[str]:
        """Return the names of a class's own methods."""
        node = self.node(owner)
        assert isinstance(node, ast.ClassDef), "a class"
        return {item.name for item in node.body if isinstance(item, Function)}

    def answers(self, made: Thing, owner: Thing) -> bool:
        """Tell whether a class comes from another, or has all that a protocol asks for."""
        if owner in self.bases(made):
            return True
        node = self.node(owner)
        is_protocol = any("Protocol" in ast.unparse(base) for base in getattr(node, "bases", []))
        asked = self.methods(owner)
        return is_protocol and bool(asked) and all(self.method(made, name) for name in asked)

    def scope(self, function: Thing) -> Scope:
        """Return the scope of a function's body."""
        if function not in self._scopes:
            self._scopes[function] = Scope(self, function.module, function)
        return self._scopes[function]

    def attribute(self, owner: Thing, name: str) -> Things:
        """Return what an object of a class has by that name: a method or property, or an annotated or set field."""
        key = (owner, name)
        if key not in self._attributes:
            found = self._attribute(owner, name)
            if self._busy:  # some of it may be looked for right now, further up
                return found
            self._attributes[key] = found
        return self._attributes[key]

    def _attribute(self, owner: Thing, name: str) -> Things:
        for base in self.bases(owner):
            node = self.node(base)
            assert isinstance(node, ast.ClassDef), "a class"
            for item in node.body:
                if isinstance(item, Function) and item.name == name:
                    return frozenset({Thing("function", base.module, f"{base.name}.{name}")})
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id == name:
                    return Scope(self, base.module).annotated(item.annotation)
            found = NONE
            for item in node.body:
                if isinstance(item, Function):
                    found |= self._set_in(base, item, name)
            if found:
                return found
        return NONE

    def _set_in(self, owner: Thing, method: Function, name: str) -> Things:
        """Return what a method assigns to `self.name`."""
        key = (owner, method.name, name)
        if key in self._busy:
            return NONE
        self._busy.add(key)
        found, scope = NONE, None
        for node in ast.walk(method):
            for target, value, annotation in assignments(node):
                if isinstance(target, ast.Attribute) and target.attr == name and is_self(target.value):
                    scope = scope or Scope(
                        self, owner.module, Thing("function", owner.module, f"{owner.name}.{method.name}")
                    )
                    found |= scope.annotated(annotation) if annotation is not None else scope.meaning(value)
        self._busy.discard(key)
        return found

    def entries(self, value: Thing) -> Things:
        """Return what a top-level value holds: functions and classes by name, or "module:function"."""
        table: dict[str, Things] = {}
        scope = Scope(self, value.module)
        self._collect(self.node(value), scope, "", table)
        chosen = [name for name in table if name in EXAMPLES] or list(table)
        return frozenset().union(*(table[name] for name in chosen))

    def _collect(self, node: ast.AST, scope: Scope, name: str, table: dict[str, Things]) -> None:
        if isinstance(node, ast.Dict):
            for key, item in zip(node.keys, node.values, strict=True):
                own = key.value if isinstance(key, ast.Constant) else ""
                self._collect(item, scope, own if isinstance(own, str) else "", table)
        elif isinstance(node, ast.DictComp):
            for part in (node.value, node.generators[0].iter):
                self._collect(part, scope, name, table)
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            for item in node.elts:
                self._collect(item, scope, name, table)
        elif isinstance(node, ast.Call):
            strings = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            own = name or (strings[0] if strings and not TARGET.fullmatch(strings[0]) else "")
            for item in [*node.args, *(word.value for word in node.keywords)]:
                self._collect(item, scope, own, table)
        elif isinstance(node, ast.Subscript):
            self._collect(node.value, scope, name, table)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and TARGET.fullmatch(node.value):
            module, _, attribute = node.value.partition(":")
            table[name] = table.get(name, NONE) | self.look_up(module, attribute)
        elif isinstance(node, ast.Name | ast.Attribute):
            for thing in scope.meaning(node):
                if thing.kind in {"function", "class"}:
                    table[name] = table.get(name, NONE) | {thing}
                elif thing.kind == "value":
                    self._collect(self.node(thing), Scope(self, thing.module), name, table)


class Scope:
    """What expressions mean inside a function, or on a module's top level."""

    def __init__(self, source: Source, module: str, function: Thing | None = None) -> None:
        self.source, self.module = source, module
        self.local: dict[str, Things] = {}
        owner = function.name.rpartition(".")[0] if function is not None else ""
        self.owner = Thing("class", module, owner) if owner else None
        if function is not None:
            self._read_body(source.node(function))

    def _read_body(self, node: ast.AST) -> None:
        source = self.source
        package = source.modules[self.module].package
        for inner in ast.walk(node):
            if isinstance(inner, ast.Import | ast.ImportFrom):
                self.local |= {k: source.imported(*v) for k, v in imports_of([inner], package).items()}
        for inner in ast.walk(node):
            if isinstance(inner, Function):
                self._parameters(inner)
        for _ in range(2):  # a name may be used above the line that says what it is
            for inner in ast.walk(node):
                self._bind(inner)

    def _parameters(self, node: Function) -> None:
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        for place, parameter in enumerate(every):
            if place == 0 and self.owner is not None and parameter.arg in {"self", "cls"}:
                kind = "object" if parameter.arg == "self" else "class"
                self.local[parameter.arg] = frozenset({self.owner._replace(kind=kind)})
            elif parameter.annotation is not None:
                self.local[parameter.arg] = self.annotated(parameter.annotation)
        if node.args.vararg is not None and node.args.vararg.annotation is not None:
            self.local[node.args.vararg.arg] = many(self.annotated(node.args.vararg.annotation))

    def _bind(self, node: ast.AST) -> None:
        for target, value, annotation in assignments(node):
            self._put(target, self.annotated(annotation) if annotation is not None else self.meaning(value))
        if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
            self._put(node.target, self.element(node.iter))
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            found = self.meaning(node.context_expr)
            self._put(node.optional_vars, elements(found) or found)

    def _put(self, target: ast.expr, found: Things) -> None:
        if isinstance(target, ast.Name) and found:
            self.local[target.id] = self.local.get(target.id, NONE) | found
        elif isinstance(target, ast.Tuple):
            for place, item in enumerate(target.elts):
                rows = [thing.inner[place] for thing in found if thing.kind == "row" and place < len(thing.inner)]
                self._put(item, frozenset().union(*rows) if rows else elements(found))

    def element(self, node: ast.expr) -> Things:
        """Return what an expression yields one by one."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"zip", "enumerate"}:
            parts = tuple(self.element(a) for a in node.args if not isinstance(a, ast.Starred))
            return frozenset({Thing("row", inner=(NONE, *parts) if node.func.id == "enumerate" else parts)})
        return elements(self.meaning(node))

    def annotated(self, node: ast.expr | None) -> Things:
        """Return what an annotation says that a value is."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self.annotated(ast.parse(node.value, mode="eval").body)
        if isinstance(node, ast.BinOp):
            return self.annotated(node.left) | self.annotated(node.right)
        if isinstance(node, ast.Subscript):
            return self._subscripted(node)
        if isinstance(node, ast.Name) and node.id == "Self" and self.owner is not None:
            return frozenset({self.owner._replace(kind="object")})
        if isinstance(node, ast.Name | ast.Attribute):
            found = NONE
            for thing in self.meaning(node):
                if thing.kind == "class":
                    found |= {thing._replace(kind="object")}
                elif thing.kind == "value":  # a type by another name
                    value = self.source.node(thing)
                    if isinstance(value, ast.expr):
                        found |= Scope(self.source, thing.module).annotated(value)
            return found
        return NONE

    def _subscripted(self, node: ast.Subscript) -> Things:
        outer = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if outer == "type":
            return frozenset(t._replace(kind="class") for t in self.annotated(parts[0]))
        if outer in {"dict", "Mapping"} and len(parts) == 2:
            return many(self.annotated(parts[1]))
        if outer == "tuple" and not (len(parts) == 2 and isinstance(parts[1], ast.Constant)):
            return frozenset({Thing("row", inner=tuple(self.annotated(part) for part in parts))})
        if outer in LISTS or outer == "tuple":
            return many(self.annotated(parts[0]))
        return self.annotated(parts[0]) if outer in {"Annotated", "Optional", "Final", "ClassVar"} else NONE

    def meaning(self, node: ast.AST | None) -> Things:
        """Return what an expression means, as far as that is evident."""
        if isinstance(node, ast.Name):
            return self.local[node.id] if node.id in self.local else self.source.look_up(self.module, node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Call):
            return self._returned(node)
        if isinstance(node, ast.Await | ast.Starred | ast.NamedExpr):
            return self.meaning(node.value)
        if isinstance(node, ast.IfExp):
            return self.meaning(node.body) | self.meaning(node.orelse)
        if isinstance(node, ast.BoolOp):
            return frozenset().union(*(self.meaning(value) for value in node.values))
        if isinstance(node, ast.Subscript):
            return elements(self.meaning(node.value), node.slice)
        if isinstance(node, ast.List | ast.Set):
            return many(frozenset().union(*(self.meaning(item) for item in node.elts)))
        if isinstance(node, ast.Tuple):
            return frozenset({Thing("row", inner=tuple(self.meaning(item) for item in node.elts))})
        if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp):
            return many(self.meaning(node.elt))
        if isinstance(node, ast.DictComp):
            return many(self.meaning(node.value))
        return NONE

    def _attribute(self, node: ast.Attribute) -> Things:
        found = NONE
        for thing in self.meaning(node.value):
            if thing.kind == "module":
                found |= self.source.look_up(thing.module, node.attr)
            elif thing.kind == "class":
                method = self.source.method(thing, node.attr)
                found |= {method} if method is not None else NONE
            elif thing.kind == "object":
                own = self.source.attribute(thing._replace(kind="class"), node.attr)
                found |= self._read(own)
        return found

    def _read(self, found: Things) -> Things:
        """Return the value of a property in its place."""
        read = NONE
        for thing in found:
            read |= (
                self.returns(thing) if thing.kind == "function" and is_property(self.source.node(thing)) else {thing}
            )
        return read

    def _returned(self, node: ast.Call) -> Things:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        called = self.called(node)
        found = NONE
        for thing in called:
            found |= {thing._replace(kind="object")} if thing.kind == "class" else self.returns(thing)
        if not called and name in SAME_OBJECT and isinstance(node.func, ast.Attribute):
            found |= self.meaning(node.func.value)
        elif not called and name in SAME_AS_FIRST and node.args:
            found |= self.meaning(node.args[0])
        if not called and name.startswith("model_validate") and isinstance(node.func, ast.Attribute):
            found |= frozenset(t._replace(kind="object") for t in self.meaning(node.func.value) if t.kind == "class")
        return found

    def called(self, node: ast.Call) -> Things:
        """Return the functions and classes that a call goes to."""
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call):
            inner = node.func.value.func
            if isinstance(inner, ast.Name) and inner.id == "super" and self.owner is not None:
                above = (self.source.method(base, node.func.attr) for base in self.source.bases(self.owner)[1:])
                return frozenset([thing for thing in above if thing is not None][:1])
        found = NONE
        for thing in self.meaning(node.func):
            if thing.kind in {"function", "class"}:
                found |= {thing}
            elif thing.kind == "object":
                own = thing._replace(kind="class")
                method = self.source.method(own, "__call__") or self.source.method(own, "forward")
                found |= {method} if method is not None else NONE
        return found

    def returns(self, function: Thing) -> Things:
        """Return what a function says that it returns."""
        if function.kind != "function":
            return NONE
        node = self.source.node(function)
        assert isinstance(node, Function), "a function"
        scope = Scope(self.source, function.module)
        owner = function.name.rpartition(".")[0]
        scope.owner = Thing("class", function.module, owner) if owner else None
        return scope.annotated(node.returns)


def is_property(node: ast.AST) -> bool:
    """Tell whether a function is read like a field."""
    names = {getattr(d, "id", getattr(d, "attr", "")) for d in getattr(node, "decorator_list", [])}
    return bool(names & {"property", "cached_property"})
