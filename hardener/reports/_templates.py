"""The room's Jinja environment."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from hardener.words import NO_BREAK, percent, readable


def shown(value: object) -> object:
    """Return what stands in a page for a value: a text whose control characters can be read and do nothing."""
    return readable(value) if type(value) is str else value


def page_environment() -> Environment:
    """Return what renders a page of its own: texts are escaped, a name that is missing is an error.

    It knows the filter `percent`, which does not break a line.
    """
    environment = Environment(
        loader=PackageLoader("hardener.reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    environment.filters["percent"] = lambda share: percent(share, NO_BREAK)
    return environment
