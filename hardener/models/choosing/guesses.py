"""What an argument that nothing is known of might be: from how the file itself uses it, and from what is usual."""

from __future__ import annotations

import ast
import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import nn

from hardener.models.code.argument_use import OF_LIBRARIES, used_as, words_of
from hardener.models.code.arguments import Takes, plain
from hardener.models.code.calls import arguments_in
from hardener.models.code.import_advice import asks_for_main
from hardener.models.code.source_code import called_name, looked_up, tree_of

USUAL: dict[str, Sequence[Any]] = {
    "depth": (28, 16, 18, 20, 50, 40, 29, 110, 6, 12, 4, 2),
    "layers": ([2, 2, 2, 2], [3, 3, 3], [2, 2, 2], [1, 1], 6, 18, 28),
    "layer": (6, 18, 50, [2, 2, 2, 2]),
    "nlayers": (18, 4, 6, 50, [2, 2, 2, 2]),
    "numlayers": (4, 6, 18, 50, [2, 2, 2, 2]),
    "numblocks": ([2, 2, 2, 2], [3, 3, 3], 3, 4),
    "nblocks": ([6, 12, 24, 16], [2, 2, 2, 2], 3, 4),
    "blockconfig": ([6, 12, 24, 16],),
    "depths": ([2, 2, 6, 2], [2, 2, 2, 2]),
    "dims": ([32, 64, 128, 256], [64, 128, 256, 512]),
    "widenfactor": (10, 4, 2, 1),
    "widthmult": (1.0,),
    "widthmultiplier": (1.0, 1),
    "widenfactors": (2,),
    "k": (2, 4, 1),
    "dropout": (0.1, 0.0),
    "dropoutrate": (0.3,),
    "droprate": (0.0,),
    "dropoutp": (0.1,),
    "growthrate": (12, 32),
    "growth": ([8, 16, 32, 64], 12),
    "reduction": (0.5, 16),
    "compression": (0.5,),
    "cardinality": (32, 8, 4),
    "basewidth": (4, 64),
    "bottleneckwidth": (64, 4),
    "groups": (1, 3, 2),
    "patchsize": (4, 8, 16, 7, 2, 14),
    "patch": (4, 8, 16, 7, 2),
    "patches": (64, 7, 49),
    "tokens": (64,),
    "positions": (65, 64),
    "seqlen": (64,),
    "seqlength": (64,),
    "sequencelength": (64,),
    "dim": (64, 128, 256, 192),
    "embeddim": (64, 192, 96),
    "embeddingdim": (64, 192, 96),
    "embeddingsize": (64, 192, 96),
    "embsize": (64, 192, 96),
    "hiddendim": (64, 128, 256),
    "hiddensize": (64, 128, 256),
    "hidden": (64, 128),
    "intermediatesize": (128, 256),
    "initializerrange": (0.02,),
    "modeldim": (64, 128),
    "dmodel": (64, 128),
    "heads": (4, 8, 2, 1),
    "numheads": (4, 8, 2, 1),
    "nheads": (4, 8, 2, 1),
    "nhead": (4, 8, 2, 1),
    "numheadss": ([2, 4, 8, 16],),
    "dimhead": (32, 64),
    "mlpdim": (128, 256),
    "ffdim": (128, 256),
    "mlpratio": (4.0, 4),
    "expansion": (4, 2, 1),
    "expansionfactor": (4, 2),
    "kernelsize": (3, 5, 9),
    "width": (64, 32, 16, 1, 1.0),
    "planes": (64, 16),
    "inplanes": (64, 16),
    "basechannels": (32, 64),
    "hiddenchannels": (32, 64),
    "numfilters": (32, 64),
    "nfilters": (32, 64),
    "filters": (32, 64, [32, 64, 128]),
    "scale": (1, 1.0, 4),
    "ratio": (1, 0.5, 4),
    "alpha": (1, 1.0, 48),
    "bias": (True,),
    "stride": (1, 2),
    "activation": ("relu",),
    "mode": (),
    "pool": ("cls", "mean"),
    "momentum": (0.1,),
    "lr": (0.1,),
    "learningrate": (0.1,),
    "bn": (True,),
    "batchnorm": (True,),
    "usebn": (True,),
}
"""Plain names of arguments, and values that networks are usually built with."""
_FALLBACK: dict[str, Sequence[Any]] = {
    "int": (4, 2, 8, 16, 64, 1, 3),
    "float": (0.1, 1.0, 0.5),
    "bool": (False, True),
    "str": (),
    "list": ([2, 2, 2, 2], [64, 128, 256, 512], [2, 2, 2], [1, 1]),
}
_SWITCHES = ("use", "is", "with", "has", "no", "do", "enable")
_WIDTHS = re.compile(r"channel|plane|width|dim|filter|feature|hidden|unit|embed|chan")
_PATHS = re.compile(r"(^|_)(path|dir|directory|folder|file|filename|root)$")
_TRIES = re.compile(r"_*(test|main|demo|debug|check|unit)", re.IGNORECASE)
_MOST, _MOST_WORDS = 150, 6


@dataclass(frozen=True)
class Guess:
    """A value, and the text that makes it in the file's own module.

    Attributes:
        named: the text is a name by which `--model-arg` finds it: of a class, or `module.NAME` of a file beside.
        others: further names that it might be.
    """

    value: Any
    text: str
    named: bool = False
    others: tuple[str, ...] = ()


def plain_guess(value: Any) -> Guess:
    """Return a number, a word or a list as a guess."""
    return Guess(value, repr(value))


def to_say(
    guesses: Mapping[str, Guess], value: Any, options: Mapping[str, Iterable[Guess]], maybe: Sequence[str]
) -> dict[str, Guess]:
    """Return the guesses that are printed for a class or a function, words with the others that they may be.

    Args:
        options: what else was found.
        maybe: names of arguments that may be left out.
    """
    shown = {name: guess for name, guess in guesses.items() if name not in maybe or guess.value is not None}
    return {name: _among(guess, name, value, options.get(name, ())) for name, guess in shown.items()}


def _among(guess: Guess, name: str, value: Any, others: Iterable[Guess]) -> Guess:
    """Return a word with those that the code knows for its argument, or else those that were found elsewhere."""
    if guess.others or not isinstance(guess.value, str):
        return guess
    whole = words_of(name, value, parts=False)
    but = {guess.value, *OF_LIBRARIES, *(set(words_of(name, value)) - set(whole))}
    known = whole or [one.value for one in others if isinstance(one.value, str)]
    words = [one for one in known if isinstance(one, str) and one not in but]
    return dataclasses.replace(guess, others=tuple(dict.fromkeys(words))[:_MOST_WORDS])


def calls_in(module: ModuleType, name: str, taken: Takes, *, tries: bool) -> Iterator[dict[str, Guess]]:
    """Yield what a class or a function is called with in the file's own code, as far as that can be known.

    Args:
        tries: where the file tries itself out, in its main part or in a function such as `test`; or everywhere else.
    """
    tree = tree_of(module)
    trying = {id(node) for one in tree.body if _tries_out(one) for node in ast.walk(one)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or called_name(node) != name or (id(node) in trying) != tries:
            continue
        given = arguments_in(node, taken.names)
        found = {key: evaluated(value, vars(module)) for key, value in given if key in taken.names}
        yield {key: guess for key, guess in found.items() if guess is not None}


def _tries_out(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.FunctionDef):
        return _TRIES.match(statement.name) is not None
    return isinstance(statement, ast.If) and asks_for_main(statement.test)


def evaluated(node: ast.expr, scope: Mapping[str, Any]) -> Guess | None:
    """Return what an expression stands for where that is written: a literal, or a name of the module."""
    try:
        return Guess(ast.literal_eval(node), ast.unparse(node))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass
    if isinstance(node, ast.Name | ast.Attribute):
        value = looked_up(node, dict(scope))
        return None if value is None else Guess(value, ast.unparse(node))
    if isinstance(node, ast.List | ast.Tuple):
        parts = [evaluated(one, scope) for one in node.elts]
        if all(parts):
            values = [part.value for part in parts if part is not None]
            return Guess(values if isinstance(node, ast.List) else tuple(values), ast.unparse(node))
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        table = looked_up(node.value, dict(scope))
        try:
            return Guess(table[node.slice.value], ast.unparse(node)) if table is not None else None
        except (KeyError, IndexError, TypeError):
            return None
    return None


def guesses_for(name: str, value: Any, taken: Takes, classes: Mapping[str, type]) -> list[Guess]:
    """Return what an argument of a class or a function might be, the likeliest first.

    Args:
        value: the class or function.
        classes: the classes of networks in the file, by name.
    """
    word = plain(name)
    written = [plain_guess(one) for one in words_of(name, value)]
    if written:
        return written
    usual = [plain_guess(one) for one in USUAL.get(word, ())]
    kind = taken.annotations.get(name)
    kind_name = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
    blocks = [Guess(one, key) for key, one in classes.items() if _is_block(key, one)]
    if "norm" in word and "layer" in word:
        return [Guess(nn.BatchNorm2d, "nn.BatchNorm2d")]
    if word in {"act", "actlayer", "activationlayer", "activationfn", "nonlinearity", "actfn"}:
        return [Guess(nn.ReLU, "nn.ReLU"), Guess(nn.ReLU(), "nn.ReLU()")]
    modules = blocks or [Guess(one, key) for key, one in classes.items() if one is not value]
    used = used_as(name, value)
    is_block = word.endswith(("block", "unit", "cell", "bottleneck", "blocktype", "blockclass"))
    if is_block and modules and not usual and not isinstance(used, int):
        return modules
    if used == "tuple":
        lists = [one for one in USUAL.get(word, ()) if isinstance(one, list)]
        return [plain_guess(tuple(one)) for one in [*lists, *_FALLBACK["list"], [2, 2, 5, 2], [64, 128]]]
    if used == "called":
        return modules
    if isinstance(used, int):
        return lists_of(used, word)
    if "cuda" in word or "gpu" in word:
        return [plain_guess(False)]
    if word.startswith(_SWITCHES):
        return [plain_guess(False), plain_guess(True)]
    if _PATHS.search(name):
        return [plain_guess(".")]
    if ("drop" in word or word.endswith("rate")) and not usual:  # a share, whatever is left out
        return [plain_guess(0.1), plain_guess(0.0)]
    near = [plain_guess(one) for key, values in USUAL.items() if not usual and _is_in(key, word) for one in values]
    if usual or near:
        return usual or near
    return [plain_guess(one) for one in _FALLBACK.get(kind_name, _FALLBACK["int"])]


def lists_of(length: int, word: str) -> list[Guess]:
    """Return lists of a length that an argument of that plain name might be."""
    usual = [one[:length] for one in USUAL.get(word, ()) if isinstance(one, list) and len(one) >= length]
    if word.endswith(("rate", "rates", "ratio", "ratios", "sparsity")):  # of what is left out, mostly
        usual.append([0.0] * length)
    numbers = [[2] * length, [64 * 2**place for place in range(length)]]
    return [plain_guess(one) for one in [*usual, *(reversed(numbers) if _WIDTHS.search(word) else numbers)]]


def times_of(word: str) -> list[Guess]:
    """Return how often something might be done that an argument of that plain name counts."""
    usual = [one for one in USUAL.get(word, ()) if type(one) is int]
    return [plain_guess(one) for one in usual or (2, 4, 6, 1)]


def combinations(of: Mapping[str, Sequence[Guess]]) -> Iterator[dict[str, Guess]]:
    """Yield guesses for all names together, the likeliest first."""
    if not all(of.values()):
        return
    most = 6 if len(of) > 2 else None
    order = itertools.product(*(range(len(values[:most])) for values in of.values()))
    likely = sorted(itertools.islice(order, 50_000), key=lambda places: (sum(places), max(places, default=0)))
    for places in likely[:_MOST]:
        yield {name: values[place] for (name, values), place in zip(of.items(), places, strict=True)}


def words_named(fault: BaseException | None, tried: Sequence[Guess]) -> list[Guess]:
    """Return the words that an error lists as what an argument may be: `should be one of: b0, b1`."""
    listed = re.search(r"(?:one of|among|from|choices|options|available|supported)\b[^:\[({]*[:\[({ ](.+)", str(fault))
    if fault is None or listed is None or not isinstance(fault, ValueError | KeyError | NotImplementedError):
        return []
    before = {guess.value for guess in tried if isinstance(guess.value, str)}
    found = dict.fromkeys(re.findall(r"[A-Za-z_][\w.-]*", listed[1]))
    return [plain_guess(word) for word in found if word not in before and word not in ("or", "and")][:_MOST_WORDS]


def _is_in(key: str, word: str) -> bool:
    """Is a usual name a part of another? A letter or two, such as `k`, are in too many."""
    return len(key) > 2 and key in word


def _is_block(name: str, value: type) -> bool:
    if getattr(value, "expansion", None) is not None:
        return True
    return any(part in name.lower() for part in ("block", "bottleneck", "unit"))
