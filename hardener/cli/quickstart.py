"""`hardener quickstart`."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from hardener.cli.console import door, out
from hardener.errors import HardenerError

IMAGES, SIZE = 100, 32  # of each class; pixels a side


@door
def quickstart(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet, or empty.")],
) -> None:
    """Write a commented model file, a recipe and a small image folder, and say what to type next."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        other = shlex.quote(f"{folder}-2")
        raise HardenerError(f"{folder} is there and not empty. Name a new folder: hardener quickstart {other}")
    folder.mkdir(parents=True, exist_ok=True)
    here = files("hardener.cli")
    (folder / "model.py").write_text((here / "quickstart_model.py.txt").read_text("utf-8"), "utf-8")
    (folder / "recipe.yaml").write_text((here / "quickstart_recipe.yaml").read_text("utf-8"), "utf-8")
    count = _draw_images(folder / "images")
    out.print(f"{folder}/model.py     the network; put yours here", markup=False, soft_wrap=True)
    out.print(f"{folder}/recipe.yaml  how it is trained", markup=False, soft_wrap=True)
    out.print(
        f"{folder}/images/      {count} images of {SIZE}x{SIZE}, a folder for each class", markup=False, soft_wrap=True
    )
    out.print("\nNext, in this order:")
    for command in next_commands(folder):
        out.print(f"  {command}", soft_wrap=True, markup=False)


def next_commands(folder: Path) -> list[str]:
    """Return the commands that lead from the folder to a model that is trained, judged and exported."""
    model, data, recipe = (shlex.quote(str(folder / name)) for name in ("model.py", "images", "recipe.yaml"))
    return [f"hardener train {model} --data {data} --recipe {recipe}", "hardener eval", "hardener export"]


def _draw_images(root: Path) -> int:
    """Draw stripes of random width, place and colours, with noise, by a fixed seed; return how many."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    down, across = np.mgrid[0:SIZE, 0:SIZE]
    for name, height in {"across": down, "upright": across, "slanted": down + across}.items():
        (root / name).mkdir(parents=True)
        for number in range(IMAGES):
            wave = np.sin(height * draw.uniform(0.6, 1.2) + draw.uniform(0, 6))
            first, second = draw.uniform(0, 255, (2, 3))
            image = np.where(wave[:, :, None] > 0, first, second) + draw.normal(0, 20, (SIZE, SIZE, 3))
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / name / f"{number:03d}.png")
    return 3 * IMAGES
