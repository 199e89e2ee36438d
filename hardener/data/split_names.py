"""Names of folders that say which split they hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, takewhile

from hardener.data.brought import SplitName

_WORDS: dict[SplitName, str] = {
    "train": (
        "train|training|trn|trainval|trainingsdaten|lerndaten|entrenamiento|treino|treinamento|apprentissage|"
        "entra[iî]nement|addestramento|训练集?|訓練|обучение|обучающая"
    ),
    "validation": (
        "val|valid|validation|validate|validating|dev|develop|development|cross[ _-]?val(?:idation)?|"
        "validierung|validierungsdaten|validaci[oó]n|valida[cç][aã]o|validazione|验证集?|検証|валидация"
    ),
    "test": (
        "test|tests|testing|tst|holdout|hold[ _-]?out|held[ _-]?out|heldout|eval|evaluation|"
        "testdaten|pr[uü]fdaten|prueba|pruebas|teste|测试集?|テスト|тест"
    ),
}
_FILLER = (
    "seg|sets?|data|datasets?|images?|imgs?|pics?|pictures?|photos?|split|folder|dir|samples?|jpe?gs?|pngs?|"
    "public|private"
)
_FIRST = r"(?:\d{1,2}[\W_]+|x[\W_])?"
_SPLITS: dict[SplitName, re.Pattern[str]] = {
    split: re.compile(rf"{_FIRST}(?:(?:{_FILLER})[\W_]*)*(?:{words})(?:[\W_]*(?:{_FILLER}|\d{{4}}))*", re.I)
    for split, words in _WORDS.items()
}
_ANY = "|".join(_WORDS.values())
_PART = re.compile(
    r"(?:k?folds?|cv|parts?|partitions?|splits?|subsets?|chunks?|shards?|batch(?:es)?|set)[\W_]*(?:\d+|[a-z])?"
    rf"|(?:{_ANY})[\W_]*(?:{_FILLER})?[\W_]*(?:\d+|v\d+|[a-z]|aug|augmented|old|new|orig|original|clean|noisy)",
    re.I,
)
_PLAIN = re.compile(rf"(?:{_FILLER})(?:[\W_]*(?:{_FILLER}))*", re.I)
_UNLABELLED = re.compile(r".*(?:pred|predict|prediction|unlabell?ed|unsupervised|submission|submit)s?", re.I)
_HANDED_IN = {"subm", "submission", "submissions", "submit", "pred", "preds", "prediction", "predictions"}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_DRAWN_ON = re.compile(
    r"masks?|msks?|mask[\W_]?images?|(?:image[\W_]?)?annotations?|annots?|ground[\W_]?truths?|gts?"
    r"|seg(?:ment(?:ed|ation)?s?)?|segmented[\W_]?images?|seg(?:mentation)?[\W_]?masks?|labels?|trimaps?|bboxes"
    r"|heat[\W_]?maps?",
    re.I,
)
_SEPARATED = re.compile(r"(.+?)[\W_]+([a-z]+)", re.I)


def split_of(name: str) -> SplitName | None:
    """Return the split that a folder's name tells, in any case and spelling: `Train`, `seg_test`, `val_set`."""
    stripped = name.strip(" _-.")
    return next((split for split, pattern in _SPLITS.items() if pattern.fullmatch(stripped)), None)


def first_split(names: Iterable[str]) -> SplitName | None:
    """Return the split that the first of some names tells which tells any, such as the folders of a path."""
    return next((split for name in names if (split := split_of(name))), None)


def words_of(name: str) -> list[str]:
    """Return the words of a name, also where capitals alone part them: `trainCT_COVID` is `train`, `CT`, `COVID`."""
    return _WORD.findall(name)


def small_words_of(name: str) -> list[str]:
    """Return the words of a name in small letters."""
    return [word.lower() for word in words_of(name)]


def split_in(name: str) -> SplitName | None:
    """Return the one split that a name tells, as a whole or by a word: `HAM10000_train`, `a. Training Set`."""
    told = {split for word in words_of(name) if (split := split_of(word))}
    return split_of(name) or (told.pop() if len(told) == 1 else None)


def split_of_file(path: str) -> SplitName | None:
    """Return the split that a table's or list's own name tells, or else the nearest of its folders that tells one."""
    *folders, own = path.replace("\\", "/").split("/")
    stem = own.rpartition(".")[0]
    return split_in(stem) or next((split for name in reversed(folders) if (split := split_in(name))), None)


def looks_like_split(name: str) -> bool:
    """Tell whether a name is one of a part of data that is no known split: `fold1`, `part_0`, `train_2`."""
    return split_of(name) is None and _PART.fullmatch(name.strip()) is not None


def without_shared(names: Iterable[str]) -> dict[str, str]:
    """Return names without what all of them begin or end with, where only splits are left of them.

    `pets_train` and `pets_test` become `train` and `test`, and so do `petsTrain` and `petsTest`; `cat` and `cow`, and
    names that are splits already, stay.
    """
    found = {name: _CAPITAL.sub("_", name) for name in names}
    parted = list(found.values())
    if len(found) < 2:
        return {name: name for name in found}
    for start, end in ((shared_start(parted), 0), (0, shared_start([name[::-1] for name in parted]))):
        short = {name: apart[start : len(apart) - end].strip(" _-.") for name, apart in found.items()}
        if (start or end) and all(map(split_of, short.values())) and "train" in map(split_of, short.values()):
            return short
    return {name: name for name in found}


def splits_of_folders(images: Iterable[str]) -> dict[str, SplitName | None]:
    """Return the split that each folder of images is in: `train` of `train_50`, where `val_50` lies beside it."""
    folders = {name.rpartition("/")[0] for name in images}
    beside: dict[str, set[str]] = {}
    for folder in folders:
        while folder:
            above, _, own = folder.rpartition("/")
            beside.setdefault(above, set()).add(own)
            folder = above
    told = {
        f"{above}/{name}" if above else name: split_of(short)
        for above, names in beside.items()
        for name, short in without_shared(names).items()
    }
    ways = {folder: accumulate(folder.split("/"), lambda above, own: f"{above}/{own}") for folder in folders}
    return {folder: next((split for way in ways[folder] if (split := told.get(way))), None) for folder in folders}


def parts_of_sets(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return, for each set that names tell the parts of, its folders and the word of each: afew: train_afew, val_afew.

    A set has a part to train on and another one.
    """
    sets: dict[str, dict[str, str]] = {}
    for name in names:
        words = re.split(r"[\W_]+", name.strip())
        for word, rest in ((words[0], words[1:]), (words[-1], words[:-1])):
            if rest and split_of(word) and not any(map(split_of, rest)):
                sets.setdefault("_".join(rest), {})[name] = word
    told = {rest: {split_of(word) for word in found.values()} for rest, found in sets.items()}
    return {rest: found for rest, found in sets.items() if "train" in told[rest] and len(told[rest]) > 1}


def divided_name(name: str) -> tuple[str, str] | None:
    """Return the class and the word of a split in a name such as `cat_train`; None for any other."""
    found = _SEPARATED.fullmatch(name.strip())
    if found is None or not split_of(found[2]) or split_of(found[1]):
        return None
    return found[1], found[2]


def own_name(path: str) -> str:
    """Return a file's own name without its ending: `train` of `lists/train.txt`."""
    return path.rpartition("/")[2].rpartition(".")[0]


def splits_of_names(images: Sequence[str]) -> dict[SplitName, list[str]]:
    """Return the images whose names tell a split in their first or last word: `train_001.jpg`."""
    told: dict[SplitName, list[str]] = {}
    for name in images:
        words = words_of(own_name(name))
        if len(words) > 1 and (split := split_of(words[0]) or split_of(words[-1])):
            told.setdefault(split, []).append(name)
    return told


def looks_unlabelled(name: str) -> bool:
    """Tell whether a name says that the images in the folder have no class: `seg_pred`, `unlabeled`."""
    return _UNLABELLED.fullmatch(name.strip()) is not None


def looks_handed_in(name: str) -> bool:
    """Tell whether a table's name says that its classes are no truth: `sample_submission`, `test_subm`."""
    return looks_unlabelled(name) or not _HANDED_IN.isdisjoint(word.lower() for word in words_of(name))


def looks_drawn(name: str) -> bool:
    """Tell whether a folder's name is one of what was drawn on images: `masks`, `annotations`, `segmented`."""
    return _DRAWN_ON.fullmatch(name.strip()) is not None


def says_nothing(name: str) -> bool:
    """Tell whether a folder's name is no class's: it names a split, images as such, or images without a class."""
    return split_of(name) is not None or looks_unlabelled(name) or _PLAIN.fullmatch(name.strip()) is not None


def assign(names: Mapping[str, str]) -> dict[SplitName, list[str]]:
    """Return the folders of each split; `eval` is validation where another folder is the test split.

    Args:
        names: of folders, each with what of it tells the split, as `without_shared` gives them.
    """
    found: dict[SplitName, list[str]] = {}
    for name, short in sorted(names.items()):
        split = split_of(short)
        if split is not None:
            found.setdefault(split, []).append(name)
    tests = found.get("test", [])
    evals = [name for name in tests if "eval" in name.lower()]
    if len(evals) == 1 and len(tests) == 2 and "validation" not in found:
        found["validation"] = evals
        found["test"] = [name for name in tests if name not in evals]
    return found


def shared_start(names: list[str]) -> int:
    """Return how long the beginning is that all names share, up to the last mark between words in it."""
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return max((place + 1 for place, letters in enumerate(alike) if letters[0] in " _-."), default=0)
