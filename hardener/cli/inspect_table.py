"""What `hardener inspect` found in a data set, in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hardener.cli.console import out
from hardener.words import one_line, percent

if TYPE_CHECKING:
    from rich.table import Table

    from hardener.config.inspection_record import Alike, Bin, ClassCount, DataInspection, ImageName, Remarked

_CLASSES, _NAMED, _BAR = 20, 3, 22


def show(found: DataInspection) -> None:
    """Print it."""
    from rich.text import Text

    size = f"{found.bytes / 1e6:,.0f} MB"
    title = Text(found.root, style="bold")
    title.append(f"  {found.total:,} images, {len(found.classes):,} classes, {size}", style="not bold")
    out.print(title)
    for text in found.found.notes:
        out.print(Text(text, style="dim"))
    for text in found.found.doubts:
        out.print(Text(text, style="yellow"))
    out.print(_classes(found))
    out.print(_facts(_about(found)))
    wrong = list(_wrong(found))
    if wrong:
        out.print(Text("\nfound", style="bold"))
        out.print(_facts(wrong))
    out.print(Text("\nwhat to do", style="bold"))
    for piece in found.advice:
        out.print(Text.assemble(("! " if piece.grave else "· ", "bold red" if piece.grave else ""), piece.text))
        out.print(Text(f"  {piece.command}", style="cyan"), soft_wrap=True)


def _classes(found: DataInspection) -> Table:
    from rich import box
    from rich.bar import Bar as BlockBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("class", overflow="fold", max_width=26)
    for split in found.splits:
        table.add_column(f"{split}{' *' if split in found.drawn else ''}", justify="right", no_wrap=True)
    table.add_column("")
    classes = found.classes
    largest = max(item.total for item in classes)
    for item in _shown_classes(classes):
        counts = [f"{item.images.get(split, 0):,}" for split in found.splits]
        table.add_row(Text(one_line(item.name)), *counts, BlockBar(largest, 0, item.total, width=_BAR))
    hidden = len(classes) - _CLASSES
    if hidden > 0:
        table.add_row(Text(f"and {hidden:,} more classes", style="dim"))
    table.add_section()
    table.add_row("all", *(f"{count:,}" for count in found.splits.values()))
    if found.drawn:
        table.caption = "* drawn by the seed: the data brings no such split"
        table.caption_justify = "left"
    return table


def _shown_classes(classes: Sequence[ClassCount]) -> Sequence[ClassCount]:
    """Return all, or of many the largest and the smallest."""
    if len(classes) <= _CLASSES:
        return classes
    order = sorted(classes, key=lambda item: -item.total)
    return [*order[: _CLASSES // 2], *order[-_CLASSES // 2 :]]


def _facts(rows: Sequence[tuple[str, str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(Text(name, style="bold"), Text(text))
    return table


def _about(found: DataInspection) -> list[tuple[str, str]]:
    view = found.input
    often = ", ".join(f"{size.height}x{size.width} ({size.images:,})" for size in found.headers.sizes[:3])
    rows = [
        ("sizes", f"{len(found.headers.sizes):,}; most often {often}"),
        ("short side", _sides(found.short_sides)),
        ("long side", _sides(found.long_sides)),
        ("width:height", _ratios(found)),
        ("formats", _counts(found.headers.formats)),
        ("pixels", f"{_counts(found.headers.depths)}; {_counts(found.headers.modes)}"),
    ]
    if found.levels is not None:
        low, high = found.levels.bulk
        bulk = f"99 % from {low:.7g} to {high:.7g}"
        rows.append(("levels", f"from {found.levels.low:.7g} to {found.levels.high:.7g}; {bulk}"))
    besides = [
        f"{count:,} {what}"
        for count, what in (
            (found.headers.transparent, "with alpha"),
            (found.headers.paged, "of several pages or frames"),
            (found.headers.profiles, "with a colour profile that changes something"),
        )
        if count
    ]
    if besides:
        rows.append(("besides", ", ".join(besides)))
    rows += [(name, text) for name, text in found.found.rows() if name == "balance"]
    rows += [("not used", str(item)) for item in found.left_out]
    cut = f"; {percent(view.cut_share)} lose more than a fifth" if view.cut_share else ""
    rows.append(
        ("model gets", f"{view.height}x{view.width} {'colour' if view.channels == 3 else 'gray'}, {view.fit}{cut}")
    )
    rows += [
        (channel.name, f"{_spark_of(channel.histogram)}  mean {channel.mean:.3f}, std {channel.std:.3f}")
        for channel in found.channels
    ]
    return rows


def _wrong(found: DataInspection) -> Iterator[tuple[str, str]]:
    for name, groups in (
        ("in several splits", found.leaks),
        ("in several classes", [group for group in found.conflicts if not group.leak]),
        ("more than once", [group for group in found.alike if not group.leak and not group.conflict]),
    ):
        if groups:
            yield name, _groups(groups)
    if found.bad:
        yield "cannot be read", _remarks(found.bad)
    if found.odd:
        yield "unlike the rest", _remarks(found.odd)


def _groups(groups: Sequence[Alike]) -> str:
    exact = sum(group.likeness == "same file" for group in groups)
    kinds = ((exact, "the same"), (len(groups) - exact, "nearly the same"))
    counts = [f"{count:,} {what}" for count, what in kinds if count]
    shown = "; ".join(" = ".join(map(_name, pair(group))) for group in groups[:_NAMED])
    return f"{', '.join(counts)}: {shown}{' …' if len(groups) > _NAMED else ''}"


def pair(group: Alike) -> tuple[ImageName, ImageName]:
    """Return two images of a group, of two splits or classes where it is listed for these."""
    first, *others = group.images
    told = "split" if group.leak else "label"
    return first, next((image for image in others if getattr(image, told) != getattr(first, told)), others[0])


def _remarks(remarks: Sequence[Remarked]) -> str:
    shown = "; ".join(f"{remark.image.file}: {remark.reason}" for remark in remarks[:_NAMED])
    return f"{len(remarks):,}: {shown}{' …' if len(remarks) > _NAMED else ''}"


def _name(image: ImageName) -> str:
    return image.file if image.file.startswith(image.split) else f"{image.file} ({image.split})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _sides(bins: Sequence[Bin]) -> str:
    if len(bins) < 2:
        return f"{bins[0].low:.0f} pixels, all" if bins else "none"
    return f"{_spark_of([item.count for item in bins])}  {bins[0].low:.0f} to {bins[-1].high - 1:.0f} pixels"


def _ratios(found: DataInspection) -> str:
    total = sum(item.count for item in found.ratios) or 1
    tall = sum(item.count for item in found.ratios if item.high <= 0.99) / total
    wide = sum(item.count for item in found.ratios if item.low >= 1.01) / total
    return f"{percent(tall)} upright, {percent(max(0.0, 1 - tall - wide))} square, {percent(wide)} wide"


def _spark_of(values: Sequence[float]) -> str:
    """Draw a histogram in one line of blocks; what is there at all is seen."""
    most = max(values, default=0) or 1
    return "".join(" " if not value else "▁▂▃▄▅▆▇█"[min(7, int(8 * value / most))] for value in values)
