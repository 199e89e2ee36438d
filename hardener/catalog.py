"""Catalogs: name -> ("module:function", one line). Text, so that listing one imports nothing."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from hardener.errors import HardenerError, did_you_mean

Catalog = Mapping[str, tuple[str, str]]


def resolve(catalog: Catalog, name: str, kind: str) -> Any:
    """Import what a catalog's line names.

    Raises:
        HardenerError: the name is not in the catalog; the nearest one is offered.
    """
    if name not in catalog:
        known = ", ".join(catalog)
        raise HardenerError(f"unknown {kind} {name!r}. Known: {known}.{did_you_mean(name, catalog)}")
    module, _, attribute = catalog[name][0].partition(":")
    return getattr(importlib.import_module(module), attribute)
