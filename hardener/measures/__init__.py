"""What is measured of a model besides attacks: name -> an entry with the facts of the measure.

A new one is a file here with a function `measure(case) -> Found`, and a line below: record, report, terminal, card and
comparison show what it finds.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from dataclasses import dataclass

from hardener.catalog import Entry
from hardener.errors import HardenerError, did_you_mean


@dataclass(frozen=True)
class Measure(Entry):
    """A measure and its facts.

    Attributes:
        option: the option of its own that asks for it, without dashes; None where `--measure NAME` does.
        always: measured whether it was asked for or not.
        most_images: it sees at most so many, drawn by the seed; None: all.
        field: where the record holds what it finds; None: under `measured`, by its name.
        values: what the file of each image's results calls its values; None: by its name.
        ball: it looks into the ball of a norm.
        gradients: it needs the model's, so it is left out for a file that has none.
        package: a module that must be installed, and the extra that brings it.
    """

    option: str | None = None
    always: bool = False
    most_images: int | None = None
    field: str | None = None
    values: str | None = None
    gradients: bool = False
    ball: bool = False
    package: tuple[str, str] | None = None


MEASURES: dict[str, Measure] = {
    "calibration": Measure(
        "hardener.measures.calibration:measure",
        "whether a model that says 80 % is right in 80 of 100 cases",
        always=True,
        field="calibration",
    ),
    "invariance": Measure(
        "hardener.measures.invariance:measure",
        "accuracy under rotation, brightness, contrast and other changes that keep the class",
        option="invariance",
        most_images=1000,
        field="invariances",
    ),
    "corruptions": Measure(
        "hardener.measures.corruption:measure",
        "accuracy under the 15 common corruptions of ImageNet-C",
        option="corruptions",
        most_images=200,
        field="corruptions",
        package=("imagecorruptions", "corruptions"),
    ),
    "certification": Measure(
        "hardener.measures.certification:measure",
        "accuracy that randomized smoothing proves, in l2",
        option="certify",
        most_images=100,
        field="certification",
        values="certified_radius",
    ),
    "clever": Measure(
        "hardener.measures.clever:measure",
        "an estimate, free of attacks, of the distance to the nearest other class",
        option="clever",
        most_images=50,
        field="clever",
        gradients=True,
        ball=True,
    ),
    "eps-curves": Measure(
        "hardener.measures.eps_curve:measure",
        "robust accuracy as the attacker grows stronger, until nothing is left",
        option="curves",
        most_images=200,
        field="eps_curves",
        ball=True,
    ),
    "mean-accuracy": Measure(
        "hardener.measures.mean_accuracy:measure",
        "the mean of robust accuracy over all eps up to the evaluation's own",
        option="curves",
        gradients=True,
        ball=True,
    ),
    "landscape": Measure(
        "hardener.measures.landscape:measure",
        "the loss around one image",
        option="curves",
        field="landscape",
        gradients=True,
        ball=True,
    ),
}


def measures_asked(asked: Collection[str]) -> dict[str, Measure]:
    """Return the measures that words ask for, each the name of one or an option of its own, and those that always run.

    Raises:
        HardenerError: a word asks for none, or a measure needs a package that is not installed.
    """
    known = set(MEASURES) | {entry.option for entry in MEASURES.values() if entry.option is not None}
    for word in sorted(set(asked) - known):
        names = ", ".join(MEASURES)
        raise HardenerError(f"unknown measure {word!r}. Known: {names}.{did_you_mean(word, MEASURES)}")
    chosen = {name: entry for name, entry in MEASURES.items() if entry.always or {name, entry.option} & set(asked)}
    for name, entry in chosen.items():
        if entry.package is not None and importlib.util.find_spec(entry.package[0]) is None:
            module, extra = entry.package
            raise HardenerError(f"{name} needs {module}, which is not installed: pip install 'hardener[{extra}]'")
    return chosen
