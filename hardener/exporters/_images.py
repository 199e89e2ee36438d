"""The images of a run, for the exporters that compare, measure and calibrate on them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from hardener.config.reading import OtherRoots, Reading
from hardener.config.run_folder import RunRecord
from hardener.config.schema import Recipe
from hardener.data.data_set import DataSet, read_data_set
from hardener.data.image_files import ImageFiles
from hardener.data.loader import load_images, shape_of


def read_images(root: Path, record: RunRecord, recipe: Recipe, *, own: bool, reading: Reading | None = None) -> DataSet:
    """Read a folder and split it as the run was.

    Args:
        own: whether it is the run's own, whose validation images may lie elsewhere.
        reading: how it is read, if not as the run's own was.
    Raises:
        HardenerError: it is no folder of classes.
    """
    return read_data_set(
        root,
        reading=(reading or (record.data.reading if own else record.data.reading.elsewhere())).grouped(
            recipe.data.group_by if own else None
        ),
        **(record.data.other_roots() if own else OtherRoots(validation_root=None, test_root=None)),
        seed=record.seed,
        val_fraction=recipe.data.val_fraction,
        test_fraction=recipe.data.test_fraction,
    )


def draw_images(files: ImageFiles, record: RunRecord, count: int, *, skip_bad: bool = False) -> Tensor:
    """Draw at most `count` images, always the same ones, as the run's model takes them: (N, C, H, W) uint8.

    Args:
        skip_bad: leave out those that cannot be read, also where the run did not.
    """
    order = torch.randperm(len(files), generator=torch.Generator().manual_seed(0))[:count]
    shape = shape_of(record.input)
    images = load_images(files.pick(order.tolist()), shape, skip_bad=skip_bad or record.data.skip_bad_images)
    return images.take(range(len(images)))[0]
