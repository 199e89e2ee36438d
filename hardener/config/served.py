"""The names under which bundles are served side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hardener.config.bundle import Bundle
from hardener.errors import HardenerError, did_you_mean


def split_name(text: str, runs: Path | None = None) -> tuple[str | None, str]:
    """Split `NAME=PATH`; a plain path has no name, and neither has `=PATH`, or a folder with = in its own.

    Args:
        runs: a folder; one of this whole name in it is meant as well.
    """
    name, equals, path = text.partition("=")
    if equals and not name:
        return None, path
    is_folder = Path(text).exists() or (runs is not None and (runs / text).exists())
    return (name, path) if equals and not is_folder else (None, text)


def with_name(name: str | None, path: Path) -> str:
    """Return a word that `split_name` splits again without a look at the disk, where the path is absolute."""
    return f"{name or ''}={path}" if name is not None or "=" in str(path) else str(path)


def served_names(bundles: Iterable[tuple[str | None, Path, Bundle]]) -> list[str]:
    """Name every bundle: as the caller says, else as its bundle.json does.

    Raises:
        HardenerError: two have the same name.
    """
    names: dict[str, Path] = {}
    for given, path, bundle in bundles:
        name = given or bundle.name
        if name in names:
            raise HardenerError(
                f"two models have the name {name!r}: {names[name]} and {path}. Give one another name: NAME={path}"
            )
        names[name] = path
    return list(names)


def served_default(names: list[str], default: str | None) -> str:
    """Return the model that answers where a request names none; the first unless told otherwise.

    Raises:
        HardenerError: it is none of `names`.
    """
    if default is None:
        return names[0]
    if default not in names:
        known = ", ".join(names)
        raise HardenerError(
            f"the default model {default!r} is not served. Known: {known}.{did_you_mean(default, names)}"
        )
    return default
