"""What methods, vicinities and augmentations bring to a recipe, found through their rooms' catalogs.

Their rooms stand above this one, so nothing of them is imported here: a catalog is named by text, as its own entries
name what they stand for. A file of theirs, and torch with it, is imported for a recipe that uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, TypeVar

from pydantic import Field, create_model

from hardener.catalog import Entry, named
from hardener.config.section import Section, SectionEntry, key_of

Base = TypeVar("Base", bound=Section)


def methods() -> Mapping[str, SectionEntry]:
    """Return the methods of training, name -> entry; the first is the default."""
    found: Mapping[str, SectionEntry] = named("hardener.methods:METHODS")
    return found


def vicinities() -> Mapping[str, SectionEntry]:
    """Return the vicinities, name -> entry, in the order that they are drawn in."""
    found: Mapping[str, SectionEntry] = named("hardener.vicinity:VICINITIES")
    return found


def augmentations() -> Mapping[str, SectionEntry]:
    """Return the augmentations, name -> entry, in the order that they are applied in."""
    found: Mapping[str, SectionEntry] = named("hardener.augmentation:AUGMENTATIONS")
    return found


def trackers() -> Mapping[str, Entry]:
    """Return what a recipe's `track` may name, name -> entry."""
    found: Mapping[str, Entry] = named("hardener.training.trackers:TRACKERS")
    return found


def with_methods(
    base: type[Base], fields: Mapping[Any, Any], *, vicinity: type[Section], augment: type[Section]
) -> type[Base]:
    """Return the recipe's model with the section of its method, and of each other method that the fields name.

    Args:
        base: the model without them.
        fields: the recipe as it was written, not checked yet.
        vicinity, augment: the models of its sections of these names.
    """
    used = fields.get("method", next(iter(methods())))
    sections = {
        key: entry.load_settings()
        for name, entry in methods().items()
        if entry.settings is not None and ((key := key_of(name, entry)) in fields or name == used)
    }
    return _extended(base, (("vicinity", vicinity), ("augment", augment), *sections.items()))


def with_sections(base: type[Base], catalog: Mapping[str, SectionEntry], fields: object) -> type[Base]:
    """Return a section's model with a key for each entry that brings settings; null switches it off.

    Args:
        base: the section without them, `Vicinity` or `Augment`.
        catalog: `vicinities()` or `augmentations()`.
        fields: the section as it was written, not checked yet.
    """
    asked = fields if isinstance(fields, Mapping) else {}
    keys = {key_of(name, entry): entry for name, entry in catalog.items() if entry.settings is not None}
    return _extended(
        base,
        tuple(
            (key, entry.load_settings() | None if asked.get(key) is not None else NoneType)
            for key, entry in keys.items()
        ),
    )


def method_sections(*, but: str = "") -> dict[str, SectionEntry]:
    """Return the sections that methods bring, key -> entry: all, or those of every other method."""
    return {
        key_of(name, entry): entry for name, entry in methods().items() if entry.settings is not None and name != but
    }


@cache  # a model is made once, so that recipes with the same sections can be compared
def _extended(base: type[Base], sections: tuple[tuple[str, Any], ...]) -> type[Base]:
    """Return a model with further sections, each with its defaults, or null where it may be."""
    fields: dict[str, Any] = {
        key: (kind, Field(default_factory=kind) if isinstance(kind, type) and kind is not NoneType else None)
        for key, kind in sections
    }
    model: type[Base] = create_model(base.__name__, __base__=base, __module__=base.__module__, **fields)
    return model
