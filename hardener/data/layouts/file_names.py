"""Files whose names tell their class: cat.0.jpg, n01_cat.jpg. The pattern is the user's: `--label-from`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Literal

from hardener.config.data_findings import left_out
from hardener.config.reading import Reading
from hardener.data.brought import Brought, SplitName
from hardener.data.place import Place
from hardener.data.split_names import looks_like_split, looks_unlabelled, own_name, split_of
from hardener.data.tree import Tree
from hardener.errors import HardenerError

_FIELD = {"label": re.compile(r"\{(\*|#|label|split)\}"), "group": re.compile(r"\{(\*|#|group)\}")}
_FIELDS = {"*": "[^/]*?", "#": r"\d+"} | {name: rf"(?P<{name}>[^/]+?)" for name in ("label", "split", "group")}
_HELP = (
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
_REASON = "images whose name does not fit --label-from"
_PARTS = "images in folders that may be other parts of a divided set"


def read(place: Place, tree: Tree, reading: Reading) -> Brought | None:
    """Return images by what their names tell; None where the user gave no pattern.

    Raises:
        HardenerError: the pattern cannot be read, or no name fits it.
    """
    if reading.label_from is None:
        return None
    pattern = compiled(reading.label_from)
    members: dict[SplitName | None, dict[str, str]] = {}
    parts: dict[str, str] = {}
    spare: list[str] = []
    unlabelled: list[str] = []
    depth = folders_in(reading.label_from)
    for name in tree.images:
        found = matched(pattern, name, depth)
        folders = name.split("/")[:-1]
        told = found["split"] if found is not None and "split" in pattern.groupindex else None
        split = split_of(told) if told else next((own for part in folders if (own := split_of(part))), None)
        if found is None:
            (unlabelled if any(map(looks_unlabelled, folders)) or split == "test" else spare).append(name)
        else:
            unclear = split is None and any(map(looks_like_split, folders))
            (parts if unclear else members.setdefault(split, {}))[name] = found["label"]
    if parts and "train" not in members and None not in members:
        members.setdefault(None, {}).update(parts)
        parts = {}
    if not members:
        raise HardenerError(
            f"no image below {place.root} has a name that fits --label-from {shlex.quote(reading.label_from)}, such as "
            f"{', '.join(tree.images[:3]) or 'none at all'}. {_HELP}"
        )
    if None in members and len(members) > 1:  # what lies in no folder of a split is what there is to train on
        members["train"] = members.get("train", {}) | members.pop(None)
    groups = {split: place.group("", list(found), list(found.values())) for split, found in members.items()}
    count = len({label for found in members.values() for label in found.values()})
    left = [*tree.facts(), left_out(_REASON, spare), left_out("images without a class", unlabelled)]
    left.append(left_out(_PARTS, list(parts)))
    doubts = [f"{len(spare)} {_REASON}, such as {spare[0]}: they are left out"] if spare else []
    doubts += [f"{len(parts)} {_PARTS}, such as {next(iter(parts))}: they are left out"] if parts else []
    return Brought(
        groups,
        notes=(f"classes from the names of files, by {reading.label_from}: {count}",),
        doubts=tuple(doubts),
        left_out=tuple(fact for fact in left if fact is not None),
    )


def compiled(text: str, field: Literal["label", "group"] = "label", option: str = "--label-from") -> re.Pattern[str]:
    """Read a pattern, in words or as a regular expression.

    Args:
        field: what it is to tell, `label` or `group`.
    Raises:
        HardenerError: it is neither, or does not tell that.
    """
    advice = _HELP if field == "label" else _HELP_GROUP
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
    """Tell whether labels are words, each of several images; those with numbers in them of more."""
    numbered = any(re.search(r"\d", label) for label in labels)
    if any(label.isdecimal() or (numbered and label[-1] in " _-.") or _ID.search(label) for label in labels):
        return False
    return 2 <= len(set(labels)) <= max(2, len(labels) // (4 if numbered else 3))


def folders_in(text: str) -> int:
    """Return how many folders above a file a pattern speaks of."""
    return re.sub(r"\[\^?/[^\]]*\]", "", text).count("/")


def matched(pattern: re.Pattern[str], name: str, folders: int) -> re.Match[str] | None:
    """Hold a pattern against the name of a file and as many folders above it as the pattern has."""
    return pattern.search("/".join(name.split("/")[-folders - 1 :]))
