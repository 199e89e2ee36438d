"""`train.html`: what a finished run takes for what on its validation images, for people to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hardener.config.confusion_record import Confused
from hardener.config.files import write_text
from hardener.reports._plots import picture, png_uri
from hardener.reports.confusion import MOST_CLASSES, untouched_tables
from hardener.reports.page import Gallery, page_with_figures
from hardener.statistics.interval import clopper_pearson


@dataclass(frozen=True)
class LookedBack:
    """A finished run's kept weights on its validation images, none of them attacked.

    Attributes:
        name: of the run.
        told: recipe and epochs, one line.
        samples: class -> how many images it has; classes without images are left out.
        confused: wrong answers.
        gallery: the images of largest loss.
        command: what to type next.
    """

    name: str
    told: str
    samples: Mapping[str, int]
    confused: Sequence[Confused]
    gallery: Gallery | None
    command: str


def write_training_page(found: LookedBack, path: Path, *, curves: Path) -> None:
    """Write one self-contained HTML file: no script, nothing from the network.

    Args:
        curves: a PNG of the training curves, put in where it is there.
    """
    wrong: dict[str, int] = {}
    for item in found.confused:
        wrong[item.label] = wrong.get(item.label, 0) + item.images
    rows = [
        (name, many, 1 - wrong.get(name, 0) / many, clopper_pearson(many - wrong.get(name, 0), many))
        for name, many in found.samples.items()
    ]
    images = sum(found.samples.values())
    right = images - sum(wrong.values())
    galleries = [found.gallery] if found.gallery is not None else []
    page = (
        page_with_figures()
        .get_template("training.html.j2")
        .render(
            name=found.name,
            told=found.told,
            command=found.command,
            images=images,
            clean=right / images,
            clean_interval=clopper_pearson(right, images),
            classes=sorted(rows, key=lambda row: (row[2], row[0])),
            most=MOST_CLASSES,
            galleries=[(item, [picture(image.pixels, smooth=True) for image in item.images]) for item in galleries],
            curves=png_uri(curves.read_bytes()) if curves.is_file() else None,
            **untouched_tables(found.samples, found.confused, "validation images"),
        )
    )
    write_text(path, page)
