"""The patterns of names that tell a class or a group: `{label}.{#}.jpg`, or a regular expression."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Literal

from hardener.data.split_names import own_name, split_of
from hardener.errors import HardenerError

_FIELD = {"label": re.compile(r"\{(\*|#|label|split)\}"), "group": re.compile(r"\{(\*|#|group)\}")}
_FIELDS = {"*": "[^/]*?", "#": r"\d+"} | {name: rf"(?P<{name}>[^/]+?)" for name in ("label", "split", "group")}
HELP = (
    "Write the name with {label} where the class stands, {*} for any text and {#} for a number, such as "
    "'{label}.{#}.jpg' for cat.0.jpg; or a regular expression with a group (?P<label>…)."
)
_HELP_GROUP = (
    "Write the name with {group} where it tells what belongs together, {*} for any text and {#} for a number, such as "
    "'{group}_{#}.jpg' for patient7_0.jpg; or a regular expression with a group (?P<group>…)."
)
_DIVIDED = ("{label}_{split}_{#}", "{split}_{label}_{#}", "{label}-{split}-{#}", "{split}-{label}-{#}")
_GUESSES = ("{label}.{#}", "{label}_{#}", "{label}-{#}", "{label} ({#})", "{label}{#}", "{#}_{label}", "{*}_{label}")
_ID = re.compile(r"\d{5}")
"""A date or a running number, where a class's would have fewer digits."""


def compiled(text: str, field: Literal["label", "group"] = "label", option: str = "--label-from") -> re.Pattern[str]:
    """Read a pattern, in words or as a regular expression.

    Args:
        field: what it is to tell, `label` or `group`.
    Raises:
        HardenerError: it is neither, or does not tell that.
    """
    advice = HELP if field == "label" else _HELP_GROUP
    if f"(?P<{field}>" in text:
        try:
            return re.compile(text)
        except re.error as error:
            raise HardenerError(f"{option} {shlex.quote(text)} is no regular expression: {error}. {advice}") from None
    fields = _FIELD[field].findall(text)
    if fields.count(field) != 1 or fields.count("split") > 1 or re.search(r"[{}]", _FIELD[field].sub("", text)):
        raise HardenerError(f"{option} takes a pattern with one {{{field}}}; got {shlex.quote(text)}. {advice}")
    parts = _FIELD[field].split(text)
    shape = "".join(_FIELDS[part] if place % 2 else re.escape(part) for place, part in enumerate(parts))
    return re.compile(f"^{shape}" + ("$" if re.search(r"\.\w+$", parts[-1]) else r"(?:\.[^./]+)?$"))


def guess(names: Sequence[str]) -> str | None:
    """Return a pattern that reads classes out of the names of files, where one does."""
    own = [own_name(name) for name in names]
    for text in _DIVIDED:
        both = [compiled(text).search(name) for name in own]
        if own and all(match is not None and split_of(match["split"]) for match in both):
            return text + ".{*}"
    for text in _GUESSES:
        found = [compiled(text).search(name) for name in own]
        labels = [match["label"] for match in found if match is not None]
        if len(labels) > 0.9 * len(own) and _tell(labels):
            return text + ".{*}"
    return None


def _tell(labels: Sequence[str]) -> bool:
    """Tell whether labels hold words, each of several images; those with numbers in them of more."""
    if any(not re.search(r"[^\W\d_]", label) for label in labels):
        return False
    numbered = any(re.search(r"\d", label) for label in labels)
    if any((numbered and label[-1] in " _-.") or _ID.search(label) for label in labels):
        return False
    return 2 <= len(set(labels)) <= max(2, len(labels) // (4 if numbered else 3))


def folders_in(text: str) -> int:
    """Return how many folders above a file a pattern speaks of."""
    return re.sub(r"\[\^?/[^\]]*\]", "", text).count("/")


def matched(pattern: re.Pattern[str], name: str, folders: int) -> re.Match[str] | None:
    """Hold a pattern against the name of a file and as many folders above it as the pattern has."""
    return pattern.search("/".join(name.split("/")[-folders - 1 :]))
