"""What `hardener inspect MODEL` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from hardener.cli.console import out
from hardener.words import amount, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hardener.config.network_record import NetworkRecord


def show_model(found: NetworkRecord) -> None:
    """Print a network's record as a table."""
    table = Table(title=Text(f"{found.name}, from {found.spec}"), title_justify="left", show_header=False)
    for name, text in _rows(found):
        table.add_row(name, Text(text))
    out.print(table)


def _rows(found: NetworkRecord) -> Iterator[tuple[str, str]]:
    yield "entry", found.entry
    still = found.parameters - found.learning
    yield "parameters", f"{found.parameters:,}" + (f", of which {still:,} do not learn" if still else "")
    yield "one image", f"{amount(found.flops, 'FLOPs')}, at {found.height} x {found.width} x {found.channels}"
    yield "takes", f"squares of {', '.join(map(str, found.sizes)) or 'no usual size'}"
    yield "memory order", found.layout
    yield "returns", f"{found.output}, {found.outputs} classes"
    yield "head", ", ".join(found.head) or "not found: --replace-head will not work"
    yield "normalises", ", ".join(found.normalisation) or "not found: --normalize does it"
    yield "batch norm", f"{found.batch_norms} layers" if found.batch_norms else "none"
    yield "random layers", ", ".join(found.random[:6]) + (" …" if len(found.random) > 6 else "") or "none"
    yield from _speeds(found)
    yield "trains", found.trains or "yes"
    yield "exports", found.exports or _of_batch(found.export_batch)
    if found.served:
        yield "served as", found.served
    for remark in found.remarks:
        yield "note", remark


def _of_batch(count: int | None) -> str:
    if count is None:
        return "yes, for any number of images at once"
    images = "1 image" if count == 1 else f"{count} images"
    return f"yes, for {images} at once only: a service fills up what is fewer"


def _speeds(found: NetworkRecord) -> Iterator[tuple[str, str]]:
    speed = found.speed
    where = f"{speed.batch} images at once, on {speed.device}"
    if found.batch_bytes is not None:
        yield "memory", f"{amount(found.batch_bytes, 'B')} for a training step of {speed.batch} images"
    if speed.training_images_per_s is not None:
        yield "training step", f"{speed.training_images_per_s:,.0f} images/s, {where}"
    yield "attack step", f"{speed.attack_images_per_s:,.0f} images/s, {where}"
    if speed.training_s is not None:
        yield "train", f"about {duration(speed.training_s)} for 30 epochs of one pass a step"
    yield "eval", f"at most about {duration(speed.evaluation_s)} for {speed.evaluation_images:,} images"
