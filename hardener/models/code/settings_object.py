"""Settings that code reads as it likes: `args["width"]` or `args.width`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Given(dict[str, Any]):
    """A mapping whose values are attributes too; mappings within it are such objects."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__({key: Given(one) if isinstance(one, Mapping) else one for key, one in values.items()})
        self.__dict__ = self
