"""How the code is built, in figures: the two walks, and the size of files and functions.

    python bench/structure.py                                  this repository
    python bench/structure.py --root DIR --list                another checkout, with all that is over a limit
    python bench/structure.py --against DIR                    before (DIR) / after (this repository)

It reads the code and runs none of it. What a walk is: see walks/walk.py. The evaluation walk starts at
`evaluate` in hardener/cli/eval.py and leaves hardener/training/ out, which it enters only to train a surrogate; the
training walk starts at `train` in hardener/cli/train.py. A figure's way is the part of the evaluation walk that leads
from the command to the formula of PGD, and what that formula calls; a step's way leads to the loss of vicinity risk.

A file's lines are all of its lines. A function's lines go from `def` to its end, docstring included. What a user may
set is a signature as well: that of a command of the CLI (a function of hardener/cli/ with `Annotated` parameters) and
that of an attack (the function of hardener/attacks/ that its file is named after). It is left out, and its arguments
are not counted. Arguments leave `self` and `cls` out and count `*args` and `**kwargs` as one each. Functions inside
functions count on their own as well. Complexity is McCabe's as ruff counts it (rule C901).

How many files a new attack, measure, method, norm, data source, endpoint or recipe touches cannot be read from the
code; a test that adds one of each has to show it.
"""

from __future__ import annotations

import argparse
import ast
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from walks.walk import Walk, walk_from

HERE = Path(__file__).resolve().parent.parent
PLACES = {"hardener": ("hardener",), "serving": ("serving",), "together": ("hardener", "serving")}
WALKS = {
    "evaluation": ("hardener.cli.eval", "evaluate", ("hardener/training/",)),
    "training": ("hardener.cli.train", "train", ()),
}
WAYS = {
    "a figure's way": ("evaluation", "hardener/attacks/pgd.py"),
    "a step's way": ("training", "hardener/methods/vicinity_risk.py"),
}
LIMITS = {"file lines": 400, "function lines": 60, "arguments": 8, "complexity": 15}


@dataclass(frozen=True)
class File:
    """A source file, named by its path below the checkout."""

    name: str
    lines: int


@dataclass(frozen=True)
class Function:
    """A function, named by its file and its place in it; `arguments` is None for a command of the CLI or an attack."""

    name: str
    lines: int
    arguments: int | None
    complexity: int


@dataclass(frozen=True)
class Figure:
    """A line of the table: a number, and where it was found."""

    label: str
    value: float
    where: str = ""


def measure(root: Path, folders: Sequence[str]) -> tuple[list[File], list[Function]]:
    """Return every Python file below some folders of a checkout, and every function in them."""
    files, functions = [], []
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            text, name = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
            files.append(File(name, len(text.splitlines())))
            functions += list(functions_of(ast.parse(text), name))
    return files, functions


def functions_of(node: ast.AST, name: str) -> Iterator[Function]:
    """Yield the functions of a tree, those of classes and other functions too."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from functions_of(child, name)
            continue
        own = f"{name}:{child.name}" if name.endswith(".py") else f"{name}.{child.name}"
        if not isinstance(child, ast.ClassDef):
            first = child.body[0].lineno if is_command(child, name) else child.lineno
            lines = (child.end_lineno or first) - first + 1
            arguments = None if is_command(child, name) else count_arguments(child)
            yield Function(own, lines, arguments, complexity(child))
        yield from functions_of(child, own)


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    """Tell whether a function is a command of the CLI, or an attack: its signature is what a user may set."""
    if name == f"hardener/attacks/{node.name}.py":
        return True
    notes = [part.annotation for part in [*node.args.args, *node.args.kwonlyargs] if part.annotation is not None]
    return name.startswith("hardener/cli/") and any("Annotated" in ast.unparse(note) for note in notes)


def count_arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many values a function takes, its own object left out."""
    named = [*node.args.posonlyargs, *node.args.args]
    if named and named[0].arg in {"self", "cls"}:
        named = named[1:]
    return len(named) + len(node.args.kwonlyargs) + (node.args.vararg is not None) + (node.args.kwarg is not None)


def complexity(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return McCabe's number of a function, as ruff counts it: functions inside count with it."""
    found = 0
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.If | ast.For | ast.AsyncFor | ast.While):
            found += 1
        elif isinstance(part, ast.Try | ast.TryStar):
            found += len(part.handlers) + bool(part.orelse)
        elif isinstance(part, ast.Match):
            found += sum(not is_wildcard(case) for case in part.cases)
    return found


def is_wildcard(case: ast.match_case) -> bool:
    """Tell whether a case takes whatever is left."""
    return isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None and case.guard is None


def over_the_limits(
    files: Sequence[File], functions: Sequence[Function], limits: Mapping[str, int] = LIMITS
) -> dict[str, list[tuple[str, int]]]:
    """Return, for each of LIMITS, the names and sizes of what is over it, the largest first."""
    found = {
        "file lines": [(file.name, file.lines) for file in files],
        "function lines": [(function.name, function.lines) for function in functions],
        "arguments": [(function.name, function.arguments or 0) for function in functions],
        "complexity": [(function.name, function.complexity) for function in functions],
    }
    return {
        what: sorted((item for item in items if item[1] > limits[what]), key=lambda item: (-item[1], item[0]))
        for what, items in found.items()
    }


def sizes(root: Path, folders: Sequence[str]) -> list[Figure]:
    """Return the figures of some folders' files and functions."""
    files, functions = measure(root, folders)
    if not files:
        return []
    lines, lengths = [file.lines for file in files], [function.lines for function in functions]
    largest, longest = max(files, key=lambda file: file.lines), max(functions, key=lambda function: function.lines)
    widest = max(functions, key=lambda function: function.arguments or 0)
    knottiest = max(functions, key=lambda function: function.complexity)
    return [
        Figure("files", len(files)),
        Figure("lines", sum(lines)),
        Figure("lines a file, median", statistics.median(lines)),
        Figure("lines a file, 90 %", percentile(lines, 90)),
        Figure("lines a file, largest", largest.lines, largest.name),
        Figure("functions", len(functions)),
        Figure("lines a function, 90 %", percentile(lengths, 90)),
        Figure("lines a function, largest", longest.lines, longest.name),
        Figure("arguments, largest", widest.arguments or 0, widest.name),
        Figure("complexity, largest", knottiest.complexity, knottiest.name),
        *(
            Figure(f"over {LIMITS[what]} {what}", len(items))
            for what, items in over_the_limits(files, functions).items()
        ),
    ]


def percentile(values: Sequence[int], share: int) -> int:
    """Return the smallest value that at least `share` percent do not exceed."""
    return sorted(values)[-(-len(values) * share // 100) - 1]


def walks(root: Path) -> dict[str, Walk]:
    """Return the two walks of a checkout, and the ways that are parts of them."""
    found = {f"the {name} walk": walk_from(root, *where) for name, where in WALKS.items()}
    return found | {name: walk_from(root, *WALKS[walk], towards=file) for name, (walk, file) in WAYS.items()}


def figures_of(walk: Walk) -> list[Figure]:
    """Return the figures of a walk."""
    return [
        Figure("files passed", len(walk.files)),
        Figure("moves from file to file", len(walk.stays) - 1),
        Figure("pairs of files walked both ways", len(walk.both_ways)),
        Figure("pairs of files, one calls the other", len(walk.calls)),
        Figure("pairs of files that call each other", len(walk.mutual)),
    ]


def tables(root: Path) -> dict[str, list[Figure]]:
    """Return every table of a checkout."""
    found = {name: figures_of(walk) for name, walk in walks(root).items()}
    return found | {name: sizes(root, folders) for name, folders in PLACES.items()}


def show(after: dict[str, list[Figure]], before: dict[str, list[Figure]] | None) -> None:
    """Print the tables, one checkout's or two side by side."""
    for title, rows in after.items():
        print(f"\n{title}")
        old = {figure.label: figure for figure in (before or {}).get(title, [])}
        for figure in rows:
            was = old.get(figure.label)
            if before is None:
                print(f"  {figure.label:38} {figure.value:>8g}  {figure.where}".rstrip())
                continue
            where = f"{was.where if was else ''} / {figure.where}" if figure.where else ""
            print(f"  {figure.label:38} {was.value if was else '-':>8} / {figure.value:<8g} {where}".rstrip())


def show_list(root: Path) -> None:
    """Print all that is over a limit, and the walks file by file."""
    for what, items in over_the_limits(*measure(root, PLACES["together"])).items():
        print(f"\nover {LIMITS[what]} {what}: {len(items)}")
        for name, value in items:
            print(f"  {value:5}  {name}")
    for title, walk in walks(root).items():
        print(f"\n{title} passes {len(walk.files)} files")
        for name in walk.files:
            print(f"         {name}")
        print(f"\n{title} goes both ways between {len(walk.both_ways)} pairs")
        for one, other in walk.both_ways:
            print(f"         {one} <-> {other}")


def main() -> None:
    """Print the figures of one checkout or of two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=HERE, help="the checkout (default: this one)")
    parser.add_argument("--against", type=Path, help="an earlier checkout, shown before it")
    parser.add_argument("--list", action="store_true", help="name all that is over a limit, and the files of the walks")
    asked = parser.parse_args()
    print("\n\n".join((__doc__ or "").strip().split("\n\n")[2:]))
    show(tables(asked.root.resolve()), None if asked.against is None else tables(asked.against.resolve()))
    if asked.list:
        show_list(asked.root.resolve())


if __name__ == "__main__":
    main()
