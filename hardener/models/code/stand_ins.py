"""Modules that a model file imports, that are not to be had, and that its network may do without.

What is imported of them is a name. Whoever calls it, or derives a network from it, is told that the module is missing,
as the import would have told.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from hardener.errors import HardenerError

MOST = 8


@dataclass
class StandIns:
    """What stands in for modules.

    Attributes:
        error: what their import said.
        names: of the modules.
        asked: of those that were called.
    """

    error: HardenerError
    names: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def stand_in_for(self, name: str) -> None:
        """Let a module be imported."""
        self.names.append(name)
        for one in self.names:
            sys.modules[one] = _Absent(one, self)

    def leave(self) -> None:
        """Let the modules be missing again."""
        for name in self.names:
            sys.modules.pop(name, None)


class _Kind(type):
    """The class of names that stand for what is missing: as types and for `isinstance` they do, and nothing else."""

    _of: StandIns
    _module: str

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _named(name, cls._module, cls._of)

    def __getitem__(cls, _item: Any) -> Any:
        return cls

    def __call__(cls, *_values: Any, **_options: Any) -> Any:
        cls._of.asked.add(cls._module)
        raise ModuleNotFoundError(f"No module named {cls._module!r}", name=cls._module)


def derives_from_missing(kind: Any) -> bool:
    """Is a class derived from what is missing?"""
    return isinstance(kind, _Kind) and any(isinstance(base, _Kind) for base in kind.__bases__)


def _named(name: str, module: str, of: StandIns) -> Any:
    return _Kind(name, (), {"_of": of, "_module": module, "__module__": module})


class _Absent(ModuleType):
    def __init__(self, name: str, of: StandIns) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        self._stand_ins = of

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _named(name, self.__name__, self._stand_ins)
