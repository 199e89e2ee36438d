"""Answers of several people to the same images, in folders or columns: `rater_1`, `rater_2`. They are no classes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence

from hardener.data.node import Node

_WHO = re.compile(
    r"(?:ground[\W_]*)?truths?|gts?|annotat(?:or|ion)s?|annot|raters?|readers?|graders?|observers?|experts?"
    r"|(?:re)?labell?ers?|doctors?|physicians?|radiologists?|pathologists?|clinicians?|reviewers?|judges?|coders?",
    re.I,
)
_WHICH = re.compile(
    r"(?P<before>.*?[^\W\d_])(?:[\W_]*(?P<number>\d{1,2})|[\W_]+(?P<letter>[a-z]))(?P<after>[\W_].*)?", re.I
)


def folders_of_answers(filled: Mapping[str, Node], here: str) -> str:
    """Return what to say where folders are called like answers of several people; nothing where none are."""
    told = {name: found for name in filled if (found := _which(name)) and _WHO.fullmatch(found[0]) and not found[1]}
    numbers = sorted({found[2] for found in told.values()})
    if len(told) < 2 or len(numbers) < len(told) or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return ""
    if numbers[0] > 1:
        return ""
    names = sorted(told, key=lambda name: told[name][2])
    start = f"the folders {', '.join(names[:3])} below {here} are called like answers of several to the same images"
    sure = "If they are the classes, pass --class-depth 1."
    if all(len(filled[name].filled()) > 1 for name in names):
        return f"{start}, and hold folders. Take those of one: --data {shlex.quote(f'{here}/{names[0]}')}. {sure}"
    return (
        f"{start}, not like classes, and nothing there tells these. Write the class of each image into a table with a "
        f"column path and a column label, and pass that as --data. {sure}"
    )


def others_of(chosen: str, columns: Mapping[str, Sequence[str]], names: Collection[str]) -> list[str]:
    """Return the columns that answer the same question as one: `label_2` beside `label_1`, `rater_b` beside `rater_a`.

    Columns of other values are other questions, but for those that are called after people: `diagnosis_2` may be finer.
    """
    found = _which(chosen)
    others = [name for name in names if name != chosen and (own := _which(name)) and found and own[:2] == found[:2]]
    if found is None:  # label beside label_2 alone; beside several it is what came of them
        numbered = [name for name in names if (own := _which(name)) and own[:2] == (chosen.lower(), "")]
        others = numbered if len(numbered) == 1 and _which(numbered[0]) == (chosen.lower(), "", 2) else []
    elif not others and found[1:] == ("", 2):
        others = [name for name in names if name.strip().lower() == found[0]]
    if found and asks_people(chosen):
        return others
    values = set(columns[chosen]) - {""}
    return [name for name in others if not values.isdisjoint(set(columns[name]) - {""})]


def asks_people(name: str) -> bool:
    """Tell whether a column is called after one of several people: `rater_a`, `reader1_label`, `label expert 2`."""
    found = _which(name)
    return found is not None and any(_WHO.fullmatch(word) for word in re.split(r"[\W_]+", found[0]))


def _which(name: str) -> tuple[str, str, int] | None:
    """Return what stands before and behind the number or letter in a name, and its place in the order."""
    found = _WHICH.fullmatch(name.strip())
    if found is None:
        return None
    place = int(found["number"]) if found["number"] else ord(found["letter"].lower()) - ord("a")
    return found["before"].lower(), (found["after"] or "").lower(), place
