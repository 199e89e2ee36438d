"""Trees that can be read in more than one way, or in none: refused, with what to pass."""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from hardener.config.reading import ignoring
from hardener.data.file_kind import EXTENSIONS, ways_to_convert
from hardener.data.node import Node
from hardener.data.split_names import (
    divided_name,
    looks_drawn,
    looks_like_split,
    own_name,
    says_nothing,
    split_in,
    split_of,
)
from hardener.data.tree import Tree
from hardener.data.unclear.answers import folders_of_answers
from hardener.data.unclear.name_parts import classes_of, labels_by, may_be, sure_pattern, telling_parts, without
from hardener.data.unclear.untaken import is_no_data
from hardener.errors import HardenerError
from hardener.words import listed

_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
_TEXTS = (
    *_TABLES, ".txt", ".lst", ".json", ".xml", ".yaml", ".yml", ".md", ".pts", ".mat", ".html", ".doc", ".docx", ".pdf",
)  # fmt: skip
_BOOKS = (".mat", ".xlsx", ".xls", ".ods", ".pkl")
_MANY_BOOKS = 4  # MATLAB files; fewer hold all images of a split each
_LABELS = re.compile(r"(?:\w+_)?(?:labels?|y|targets?|classes)(?:_\w+)?\.(?:txt|npy)", re.I)
_PACKED = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

_MASK = re.compile(r"(.+?)([\W_](?:mask|seg|segmentation|gt|label|annotation|trimap))(?:[\W_]?\d+)?", re.I)


class NoImages(HardenerError):
    """There is none at any depth."""


def refuse_flat(node: Node, here: str, tree: Tree) -> None:
    """Say that there are no class folders, and what there is instead.

    Raises:
        NoImages: there is none.
        HardenerError: always.
    """
    _refuse_matlab(node, here, tree)
    count = node.count
    found = f"{count} image{'s' if count != 1 else ''}" if count else "no images"
    if not count and tree.left_out:
        left = "; ".join(str(fact) for fact in tree.facts())
        folders = f"{len(node.children)} folders and " if node.children else ""
        names = {reason: found[0] for reason, found in tree.left_out.items()}
        packed = [name for names in tree.left_out.values() for name in names if name.lower().endswith(_PACKED)]
        way = _archives(here, packed) if packed else ways_to_convert(here, names)
        raise NoImages(f"{here} has {folders}no images ({', '.join(EXTENSIONS)}) in it. Left out: {left}.{way}")
    if node.children and not count:
        left = "; ".join(str(fact) for fact in tree.facts())
        raise NoImages(
            f"{here} has {len(node.children)} folders and no images ({', '.join(EXTENSIONS)}) in any of them."
            + (f" Left out: {left}." if left else "")
        )
    raise HardenerError(
        f"{here} has {found} and no class folders. Put each class in its own folder: {here}/cat/001.jpg."
        + by_names(tree.images)
        + (_tables(here, node, tree) or told_beside(tree))
    )


def _refuse_matlab(node: Node, here: str, tree: Tree) -> None:
    """Refuse a MATLAB file for each image.

    Raises:
        HardenerError: there are no images, and many such files.
    """
    found = [name for name in tree.others if name.lower().endswith(".mat")]
    if not node.count and not tree.left_out and len(found) > _MANY_BOOKS:
        raise HardenerError(
            f"{here} has no images, and {len(found)} MATLAB files, such as {found[0]}. If each holds one image and its "
            "class, save the images as PNG files, each in a folder of its class. scipy.io.loadmat reads such a file, "
            "and h5py one of version 7.3."
        )


def refuse_one_folder(only: Node, here: str, tree: Tree) -> None:
    """Say what tells the classes where all images lie in one folder: their names, or lists beside it.

    Raises:
        HardenerError: something may tell them.
    """
    while len(only.filled()) == 1 and not only.own:
        (only,) = only.filled().values()
    if not only.is_leaf:
        return
    found = by_names(only.images())
    lists = [name for name in tree.others if name.lower().endswith(".txt") and split_of(own_name(name))]
    books = [name for name in tree.others if name.lower().endswith(_BOOKS)]
    if not found and lists:
        found = f" If {lists[0]} tells the classes, write them to a CSV file: a column path, and a column label."
    if not found and books:
        found = f" If {books[0]} tells the classes, save it as CSV, with a column path and a column label."
    if found:
        start = f"all {only.count} images of {here} lie in one folder, {only.path}/, and one class is none."
        raise HardenerError(f"{start}{found}")


def empty_classes(node: Node, tree: Tree) -> tuple[list[str], list[str]]:
    """Return the folders that are classes without images, and those that hold texts and tables alone."""
    spare = {name: child.path for name, child in sorted(node.children.items()) if not child.count}
    unread = [name for names in tree.left_out.values() for name in names]
    other = [
        name
        for name, path in spare.items()
        if (own := [file for file in tree.others if file.startswith(f"{path}/")])
        and all(file.lower().endswith(_TEXTS) for file in own)
        and not any(file.startswith(f"{path}/") for file in unread)
    ]
    return [name for name in spare if name not in other], other


def by_names(images: Sequence[str]) -> str:
    """Return what to pass where the names of files tell the classes: cat.0.jpg, dog.0.jpg."""
    pattern = sure_pattern(images)
    if pattern is None:
        return may_be(telling_parts(images), images)
    classes = classes_of(labels_by(pattern, images).values())
    return f" The names of its images seem to tell classes: pass --label-from {shlex.quote(pattern)} for {classes}."


def refuse_unclear(filled: Mapping[str, Node], here: str) -> None:
    """Refuse folders that look like anything but classes.

    Raises:
        HardenerError: they are parts of a divided set, hold splits, or are drawings on images.
    """
    if told := folders_of_answers(filled, here):
        raise HardenerError(told)
    _refuse_parts(filled, here)
    _refuse_splits_below(filled, here)
    _refuse_split_classes(filled, here)
    _refuse_drawings(filled, here)


def doubts_about_masks(tree: Tree) -> list[str]:
    """Tell of files that are called like drawings on others beside them: `1_mask.png` of `1.png`."""
    stems = {name.rpartition(".")[0] for name in tree.images}
    drawn = {name: found for name in tree.images if (found := _MASK.fullmatch(name.rpartition(".")[0]))}
    masks = [name for name, found in drawn.items() if not stems.isdisjoint(_drawn_on(found[1]))]
    if not masks:
        return []
    word = drawn[masks[0]][2]
    return [
        f"{len(masks)} images are called like masks of others ({masks[0]}) and are taken for images like these: "
        f"--ignore {shlex.quote(f'*{glob.escape(word)}*')} leaves them out"
    ]


def _drawn_on(stem: str) -> tuple[str, str]:
    """Return what a mask may be of: the file beside it, and the one above where it lies in a folder of drawings."""
    folder, _, own = stem.rpartition("/")
    above, _, name = folder.rpartition("/")
    return stem, (f"{above}/{own}" if above else own) if looks_drawn(name) else stem


def doubts_about_drawn_folders(filled: Mapping[str, Node]) -> list[str]:
    """Tell of `cat/masks/` beside `cat/images/`, which is read as images of the class, and of `masks/` beside classes.

    A class may be called `mask`, beside `no_mask`.
    """
    beside = [name for name, node in filled.items() if node.is_leaf and looks_drawn(name) and name.lower() != "mask"]
    named = [(name, below) for name, node in filled.items() for below in node.filled()]
    inner = {below: f"{name}/{below}" for name, below in named}
    drawn = [below for below in inner if looks_drawn(below)]
    whole = any(says_nothing(without(below, name)) or below == name for name, below in named if below not in drawn)
    drawn = drawn if whole else []
    ends: dict[str, str] = {}
    for name, below in named:  # Shrimp/Shrimp GT beside Shrimp/Shrimp
        if below not in drawn and below.lower().startswith(name.lower()) and looks_drawn(without(below, name)):
            ends.setdefault(below[len(name) :], f"{name}/{below}")
    doubts = [
        f"{place}/ looks like what was drawn on images, and is taken for images of the class like the rest: --ignore "
        f"{shlex.quote(f'*{glob.escape(end)}')} leaves it out, and those of the other classes"
        for end, place in ends.items()
    ]
    return doubts + [
        f"{place}/ looks like what was drawn on images, and is taken for {kind}: {ignoring([name])} leaves it out"
        for name, place, kind in (
            *((name, name, "a class like the rest") for name in beside if len(beside) < len(filled)),
            *((below, inner[below], "images of the class like the rest") for below in drawn),
        )
    ]


def lists_of_splits(tree: Tree, shown: str) -> str:
    """Name lists beside folders that are called after splits, and may tell the classes: `train2018.json`."""
    named = {split_of(own_name(name)): name for name in sorted(tree.others, reverse=True)}
    if not named.get("train", "").lower().endswith((*_TABLES, ".json")):
        return ""
    options = {"train": "--data", "validation": "--val"}
    ways = [f"{option} {shlex.quote(f'{shown}/{named[split]}')}" for split, option in options.items() if split in named]
    return f" If {named['train']} tells images and their classes, pass {' '.join(ways)}. If not:"


def told_beside(tree: Tree) -> str:
    """Name the files that lie beside images, one for each, and may tell its class: `1.xml` of `1.jpg`."""
    stems = {name.rpartition(".")[0] for name in tree.images}
    beside = [name for name in tree.others if name.rpartition(".")[0] in stems]
    if not tree.images or 2 * len(beside) < len(stems):
        return ""
    return (
        f" A file lies beside each image, such as {beside[0]}. If it tells the class, write all of them to a CSV file: "
        "a column path, and a column label."
    )


def some(names: Iterable[str]) -> str:
    """Return the first few names, and how many more there are."""
    found = sorted(names)
    return listed(found, 5) + (f" and {len(found) - 5} more" if len(found) > 5 else "")


def one_and_another(here: str, names: Sequence[str]) -> str:
    """Return the options that train on one folder and validate on another."""
    first, second = (shlex.quote(f"{here}/{name}") for name in names[:2])
    return f"--data {first} --val {second} trains on one and validates on another"


def _tables(here: str, node: Node, tree: Tree) -> str:
    """Name the tables that lie beside images without class folders, and what may be one."""
    start = f"{node.path}/" if node.path else ""
    base = here.removesuffix(f"/{node.path}") if node.path else here
    named = [name for name in tree.others if name.lower().endswith(_TABLES) and name.startswith(start)]
    named = [name for name in named if not is_no_data(name)]
    named.sort(key=lambda name: split_in(own_name(name)) in ("validation", "test"))
    if node.count and named:
        return (
            f" A table lies beside them: pass --data {shlex.quote(f'{base}/{named[0]}')}, which reads the classes from "
            "it, or says what it lacks."
        )
    others = [*tree.others, *(name for found in tree.left_out.values() for name in found)]
    books = [name for name in others if name.lower().endswith(_BOOKS) or _LABELS.fullmatch(name.rpartition("/")[2])]
    if node.count and books:
        return f" If {books[0]} tells the classes, write them to a CSV file: a column path, and a column label."
    return ""


def _archives(here: str, names: list[str]) -> str:
    """Return what to pass where a folder holds archives: `train.zip` and `test.zip`."""
    whole = {split_of(name.rpartition("/")[2].partition(".")[0]): f"{here}/{name}" for name in names}
    if here.lower().endswith(_PACKED):
        return f" Unpack {here}, and pass the archives in it: --data {shlex.quote(names[0])}."
    if len(names) > 1 and set(whole) == {None}:
        return (
            " Archives are read in place, one at a time, and those with other names are no folders of classes. If each "
            f"is a class, unpack each into a folder of its name: mkdir {shlex.quote(_stem(f'{here}/{names[0]}'))}; "
            f"{_unpacking(f'{here}/{names[0]}')}; and so on. If one holds all classes, pass it: --data "
            f"{shlex.quote(f'{here}/{names[0]}')}."
        )
    training = whole.get("train", f"{here}/{names[0]}")
    others = [("--val", whole.get("validation")), ("--test", whole.get("test"))]
    more = "".join(f" {option} {shlex.quote(way)}" for option, way in others if way and way != training)
    return f" Archives are read in place: pass --data {shlex.quote(training)}{more}."


def _stem(archive: str) -> str:
    return next(archive[: -len(ending)] for ending in _PACKED if archive.lower().endswith(ending))


def _unpacking(archive: str) -> str:
    packed, folder = shlex.quote(archive), shlex.quote(_stem(archive))
    return f"unzip {packed} -d {folder}" if archive.lower().endswith(".zip") else f"tar -xf {packed} -C {folder}"


def _refuse_parts(filled: Mapping[str, Node], here: str) -> None:
    """Refuse `fold1`, `fold2`: they are no classes, and only the user knows which of them to train on."""
    names = list(filled)
    if len(names) < 2 or not all(map(looks_like_split, names)):
        return
    inner = {name for node in filled.values() for name in node.filled()}
    together = _taken_together(filled, here, inner)
    raise HardenerError(
        f"the folders below {here} look like parts of a divided set, not like classes: {some(names)}."
        f"{f'{together} or rename' if together else ' Rename'} them train, val and test. If they are the classes, pass "
        "--class-depth 1."
    )


def _taken_together(filled: Mapping[str, Node], here: str, inner: Iterable[str]) -> str:
    names, below = list(filled), sorted(inner)
    if not below:
        return ""
    return (
        f" --class-depth 2 takes all of them together, with the classes {some(below)}; {one_and_another(here, names)};"
    )


def _refuse_splits_below(filled: Mapping[str, Node], here: str) -> None:
    """Refuse `cat/train/`, `cat/test/`: read as class folders, test images would be trained on."""
    told = {name: [split_of(below) for below in node.filled()] for name, node in filled.items()}
    whole = [name for name, splits in told.items() if splits and all(splits)]
    sure = [name for name, splits in told.items() if "train" in splits and len({*splits} - {None}) > 1]
    divided = sure or (whole if 2 * len(whole) >= len(filled) else [])
    if not divided:
        return
    name = divided[0]
    if len(divided) == 1 and _holds_classes(filled[name]):
        rest = [other for other in filled if other != name]
        raise HardenerError(
            f"{here}/{name} is a divided set ({some(filled[name].filled())}), and beside it lie folders with images "
            f"that are no part of it: {some(rest)}. {ignoring(rest)} takes {name}/ alone. If the folders below "
            f"{here} are the classes, pass --class-depth 1."
        )
    inner = next(below for below in filled[name].filled() if split_of(below))
    if way := _class_then_split(filled):
        raise HardenerError(
            f"{here} has split folders inside its class folders ({name}/{inner}). {way} reads them so. If the splits "
            "are not to be kept, --class-depth 1 takes all images of each class together, and draws them."
        )
    raise HardenerError(
        f"{here} has split folders inside its class folders ({name}/{inner}). Put splits above classes: "
        f"{here}/{inner}/{name}. Or pass --class-depth 1 to take all images of {name}/ together; splits are then drawn."
    )


def _holds_classes(node: Node) -> bool:
    return all(len(part.filled()) > 1 for name, part in node.filled().items() if split_of(name) == "train")


def _class_then_split(filled: Mapping[str, Node]) -> str:
    """Return the option that reads `cat/train/1.jpg`; empty where a class has none, or images lie unequally deep."""
    parts = {below for node in filled.values() for below in node.filled()}
    others = sorted(below for below in parts if not split_of(below))
    inner = [part for node in filled.values() for name, part in node.filled().items() if name not in others]
    drawn = {name for part in inner if part.own for name in part.filled() if looks_drawn(name)}
    images = [image for part in inner for image in part.images() if drawn.isdisjoint(image.split("/"))]
    others += sorted(drawn)
    depths = {image.count("/") for image in images}
    if len(depths) != 1 or any(node.own for node in filled.values()):
        return ""
    below = ["{*}"] * (depths.pop() - inner[0].path.count("/"))
    pattern = "/".join(["{label}", "{split}", *below])
    leave = f"{ignoring(others)} " if others else ""
    whole = set(labels_by(pattern, images).values()) == set(filled)
    return f"{leave}--label-from {shlex.quote(pattern)}" if whole else ""


def _refuse_split_classes(filled: Mapping[str, Node], here: str) -> None:
    """Refuse `cat_train`, `cat_test`, `dog_train`: folders of a class and a split."""
    divided = {name: found for name in filled if (found := divided_name(name)) is not None}
    stems = {stem for stem, _ in divided.values()}
    if 2 * len(divided) < len(filled) or not 2 <= len(stems) < len(divided):
        return
    words = "|".join(sorted({word for _, word in divided.values()}))
    pattern = rf"(?P<label>[^/]+)[\W_](?P<split>{words})/[^/]+$"
    raise HardenerError(
        f"the folders below {here} are named by a class and a split ({some(divided)}). Read both from their names: "
        f"pass --label-from {shlex.quote(pattern)}. If each is a class of its own, pass --class-depth 1."
    )


def _refuse_drawings(filled: Mapping[str, Node], here: str) -> None:
    """Refuse `images`, `masks`: what is drawn on images is no class of them."""
    drawn = [name for name in filled if looks_drawn(name)]
    images = [name for name in filled if name not in drawn]
    if not drawn or not images or not all(says_nothing(name) for name in images):
        return
    way = (
        f"{ignoring(drawn)} leaves the drawings out."
        if any(filled[name].filled() for name in images)
        else f"Put each class in its own folder, {here}/cat/001.jpg, or name the classes in a table, {here}/labels.csv "
        "with the columns path and label."
    )
    raise HardenerError(
        f"the folders below {here} look like images and what was drawn on them, not like classes: {some(filled)}. "
        f"{way} If these are the classes, pass --class-depth 1."
    )
