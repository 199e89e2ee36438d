"""Catalogs: name -> an entry with the facts of the thing. Its target is text, so that listing one imports nothing."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hardener.errors import HardenerError, did_you_mean


@dataclass(frozen=True)
class Entry:
    """What every catalog says of a thing; a room adds its own facts in a subclass.

    Attributes:
        target: "module:name" of what the entry stands for.
        line: what it is, in one line for people who choose.
    """

    target: str
    line: str

    @property
    def module(self) -> str:
        """The module that holds the thing."""
        return self.target.partition(":")[0]

    def load(self) -> Any:
        """Import what the entry stands for."""
        return named(self.target)


def named(text: str) -> Any:
    """Import what a "module:name" stands for."""
    module, _, name = text.partition(":")
    return getattr(importlib.import_module(module), name)


Catalog = Mapping[str, Entry]


def resolve(catalog: Catalog, name: str, kind: str) -> Any:
    """Import what a catalog's entry stands for.

    Raises:
        HardenerError: the name is not in the catalog; the nearest one is offered.
    """
    if name not in catalog:
        known = ", ".join(catalog)
        raise HardenerError(f"unknown {kind} {name!r}. Known: {known}.{did_you_mean(name, catalog)}")
    return catalog[name].load()
