"""Whose images an evaluation is of: those that the run held out, or other data, which has a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from hardener.config.data_path import hub_name
from hardener.config.evaluation_record import Evaluation
from hardener.config.run_folder import RunFolder
from hardener.words import one_line

_LONGEST_NAME = 200


def precedence(item: Evaluation) -> int:
    """Return what counts first: 0 for the images that the run held out, 1 where the record does not say, 2 for others.

    Records of before this was kept do not say.
    """
    return 1 if item.data.own is None else 0 if item.data.own else 2


def own_first(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return evaluations of the images that the run held out before those of other data, else in their order."""
    return sorted(evaluations, key=precedence)


def is_elsewhere(item: Evaluation, root: str | None) -> bool:
    """Tell whether an evaluation's data must be named; where the record does not say, by its folder.

    Args:
        root: where the run's own data lies; None: that is not known.
    """
    if item.data.own is not None:
        return not item.data.own
    return root is not None and Path(item.data.root) != Path(root)


def root_of(run: RunFolder) -> str | None:
    """Return where a run's own data lies; None for a folder without a record."""
    return run.read_record().data.root if run.record_file.is_file() else None


def split_in_words(item: Evaluation, root: str | None) -> str:
    """Return `the test split`, and for other data than the run's own its folder."""
    split = "the images" if item.data.split == "all" else f"the {item.data.split} split"
    if not is_elsewhere(item, root):
        return split
    whose = ", which the run did not hold out" if item.data.own is False else ""
    return f"{split} of {one_line(item.data.root)}{whose}"


def other_data(evaluations: Sequence[Evaluation], root: str | None) -> dict[str, str]:
    """Return a name for the data of each evaluation that is of other data, by when it was made.

    It is the folder's last part, and more of it where two would be called alike: these names leave the machine.
    """
    roots = {item.created_at: item.data.root for item in evaluations if is_elsewhere(item, root)}
    names = _names(sorted(set(roots.values())))
    return {at: names[found] for at, found in roots.items()}


def under(item: Evaluation, names: Mapping[str, str]) -> str:
    """Return the threat of an evaluation, and the name of its data where `names` has one for it."""
    name = names.get(item.created_at)
    return str(item.threat.model) + ("" if name is None else f" on {name}")


def name_of(root: str) -> str:
    """Return the name of a data set by where it lies, alone: its folder's last part."""
    return _names([root])[root]


def _names(roots: Sequence[str]) -> dict[str, str]:
    parts = {root: (root,) if hub_name(Path(root)) else PurePath(root).parts for root in roots}
    named = {}
    for root, own in parts.items():
        length = 1
        while length < len(own) and any(other != own and other[-length:] == own[-length:] for other in parts.values()):
            length += 1
        named[root] = one_line("/".join(own[-length:]) or root)[-_LONGEST_NAME:]
    return named
