"""`hardener predict`."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardener.cli.console import door, out
from hardener.config.files import written_whole
from hardener.errors import Failure, HardenerError
from hardener.words import one_line, percent

if TYPE_CHECKING:
    from rich.bar import Bar
    from rich.table import Table

    from hardener.client import Client
    from hardener.config.answer import (
        BatchItem,
        InputStatistic,
        ModelName,
        OfflineFigures,
        Prediction,
        Report,
        Stability,
    )
    from hardener.config.bundle import ChangedRobustness, OfflineRobustness

CHUNK = 32  # images that the service takes at once
SHOWN = 5  # classes, where --top-k does not say
BAR = 20
NAMED = 10  # of those that were not answered
OF_ONE_IMAGE = {400, 413, 415, 422}  # what is said of an image, and not of the service


@door
def predict(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE", help="JPEG, PNG, WebP or BMP; for deep pixels TIFF.", show_default=False),
    ],
    url: Annotated[str, typer.Option(metavar="URL", help="Where the service is.")] = "http://127.0.0.1:3000",
    report: Annotated[
        bool, typer.Option("--report", help="Say also how robust each answer is; takes seconds.")
    ] = False,
    top_k: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Classes to name. (default: 5; all with --json)")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Of several. (default: the service's own)")] = None,
    token_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Holds the bearer token.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON an image.")] = False,
    save_found: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --report: keep the adversarial images found there.")
    ] = None,
) -> None:
    """Ask a running service about images.

    Exit code 0: all were answered; 2: the service refused one, or something that
    you gave is wrong; 1: the service could not be reached or could not answer.
    """
    from hardener.client import Client

    for path in images:
        if not path.is_file():
            raise HardenerError(f"{path} is a folder; name the images in it." if path.is_dir() else f"no file {path}.")
    if save_found is not None:
        _check_folder(save_found, report=report)
    failed: list[tuple[Path, BatchItem]] = []
    answered: list[tuple[Path, BatchItem]] = []
    with Client(url, token=None if token_file is None else _read_token(token_file)) as client:
        ask = functools.partial(_reports, found_image=True if save_found else None) if report else _predictions
        try:
            for path, item in ask(client, images, top_k, model):
                (answered if item.problem is None else failed).append((path, item))
                kept = None if save_found is None else _kept(item, path, save_found)
                if as_json:
                    typer.echo(json.dumps({"image": str(path)} | item.model_dump(mode="json")))
                elif item.prediction is not None and (report or len(images) == 1):
                    show(path, item.prediction, top_k or SHOWN)
                if kept is not None and not as_json:
                    out.print(f"  the image found: {kept}", markup=False, highlight=False, soft_wrap=True)
        finally:  # what was answered is shown also where the service fails later, or a person has waited enough
            if answered and not as_json and not report and len(images) > 1:
                out.print(_table(answered))
    if failed:
        raise _complaint(failed, len(images))


def show(path: Path, prediction: Prediction, classes: int) -> None:
    """Print one answer: its likeliest classes as bars, and its report if it has one."""
    from rich.table import Table
    from rich.text import Text

    out.print(
        Text.assemble(
            (str(path), "bold"),
            f"  {prediction.label}  {percent(prediction.confidence)}  ",
            (f"by {_by(prediction.model)}", "dim"),
        ),
        soft_wrap=True,
    )
    table = Table.grid(padding=(0, 2, 0, 0))
    for label, probability in _likeliest(prediction, classes):
        table.add_row(Text(f"  {one_line(label)}"), _bar(probability), Text(percent(probability), justify="right"))
    out.print(table)
    if prediction.report is not None:
        _show_report(prediction.report, prediction.label)


def _by(model: ModelName) -> str:
    kind = "" if model.quantization is None else f" in {model.quantization}"
    return f"{model.name} {model.fingerprint[:12]}{kind}"


def _predictions(
    client: Client, images: list[Path], top_k: int | None, model: str | None
) -> Iterator[tuple[Path, BatchItem]]:
    from hardener.client import ClientError

    if len(images) == 1:
        yield images[0], _item(functools.partial(client.predict, images[0], top_k=top_k, model=model))
        return
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        try:
            items = client.predict_batch(chunk, top_k=top_k, model=model)
        except ClientError as error:
            yield from zip(chunk, error.answered, strict=False)
            raise
        yield from zip(chunk, items, strict=True)


def _reports(
    client: Client, images: list[Path], top_k: int | None, model: str | None, *, found_image: bool | None
) -> Iterator[tuple[Path, BatchItem]]:
    from hardener.client import ImageNotRead

    for path in images:
        try:
            item = _item(functools.partial(client.report, path, top_k=top_k, model=model, found_image=found_image))
        except ImageNotRead as error:
            if len(images) == 1:
                raise
            item = error.as_item()
        yield path, item


def _check_folder(folder: Path, *, report: bool) -> None:
    """See that images can be kept there, before a second is spent on them."""
    if not report:
        raise HardenerError("--save-found keeps what a report's attack finds. Add --report.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HardenerError(f"--save-found: {folder} is no folder and cannot be made ({error.strerror}).") from None


def _kept(item: BatchItem, path: Path, folder: Path) -> Path | None:
    """Write the image that an attack found, and return its file; no file that is there is written over."""
    report = None if item.prediction is None else item.prediction.report
    data = None if report is None else report.attack.image_file()
    if data is None:
        return None
    names = (f"{path.stem}-found{'' if number == 1 else f'-{number}'}.png" for number in itertools.count(1))
    file = next(folder / name for name in names if not (folder / name).exists())
    with written_whole(file) as beside:
        beside.write_bytes(data)
    return file


def _item(ask: Callable[[], Prediction]) -> BatchItem:
    """Let a bad image spoil no other, as in a batch; what is wrong with the service or with all images is raised."""
    from hardener.client import Refused
    from hardener.config.answer import BatchItem

    try:
        return BatchItem(prediction=ask(), problem=None)
    except Refused as error:
        if error.problem is None or error.status not in OF_ONE_IMAGE:
            raise
        return BatchItem(prediction=None, problem=error.problem)


def _complaint(failed: list[tuple[Path, BatchItem]], asked: int) -> HardenerError:
    told: list[str] = []
    for path, item in failed[:NAMED]:
        assert item.problem is not None
        said = f"{item.problem.status} {item.problem.title}: {item.problem.detail}"
        if told:
            told.append(f"  {one_line(str(path))}: {said}")
        else:
            more = f" ({len(failed)} of {asked} images were not answered)" if asked > 1 else ""
            told.append(f"{path} was not answered: {said}{more}")
            kind = Failure if item.problem.status in {408, 429} or item.problem.status >= 500 else HardenerError
    if len(failed) > NAMED:
        told.append(f"  and {len(failed) - NAMED:,} more")
    return kind("\n".join(told))


def _table(answered: list[tuple[Path, BatchItem]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for title in ("image", "answer", "", "", "next"):
        table.add_column(title, overflow="fold")
    for path, item in answered:
        assert item.prediction is not None
        (label, probability), *rest = _likeliest(item.prediction, 2)
        following = f"{one_line(rest[0][0])} {percent(rest[0][1])}" if rest else ""
        table.add_row(
            Text(one_line(str(path))), Text(one_line(label)), _bar(probability),
            Text(percent(probability), justify="right"), Text(following, style="dim"),
        )  # fmt: skip
    return table


def _show_report(report: Report, label: str) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    heading = ("  same answer under", "", "", f"least left to {label}")
    table.add_row(*(Text(words, style="bold") for words in heading))
    for name, stability in report.stability:
        share = stability.same_answer
        missing = "not run" if stability.meaning.startswith("Not run") else "does not apply"
        bar = Text(missing, style="dim") if share is None else _bar(share)
        shown = "" if share is None else f"{percent(share)} of {stability.variants}"
        table.add_row(Text(f"    {name}"), bar, Text(shown, justify="right"), Text(_worst(stability, label)))
    out.print(table)
    facts = Table.grid(padding=(0, 2, 0, 0))
    for name, text in _facts(report):
        facts.add_row(Text(f"  {name}", style="bold"), Text(text))
    out.print(facts)
    out.print(Text("  what each figure shows and does not: its `meaning`, with --json", style="dim"), soft_wrap=True)


def _worst(stability: Stability, label: str) -> str:
    worst = stability.worst
    if worst is None:
        return ""
    unit = re.split(r"[,;]| of ", stability.unit or "")[0]  # the rest explains it
    at = "" if worst.parameter is None else f" at {worst.parameter:g} {unit}".rstrip()
    return f"{percent(worst.confidence)}{at}" + ("" if worst.label == label else f", taken for {worst.label}")


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    certificate = report.certificate
    noise = f"noise of {certificate.noise_sigma:g}, {certificate.draws:,} draws, {percent(certificate.confidence)} sure"
    if certificate.radius is None:
        yield "certificate", f"abstains: no radius could be certified ({noise})"
    else:
        other = "" if certificate.agrees_with_prediction else f"of another answer, {certificate.label}: "
        most = certificate.largest_possible_radius
        yield "certificate", f"{other}l2 radius {certificate.radius:.3f}, of at most {most:.3f} ({noise})"
    attack, margin, budget = report.attack, report.margin, report.budget
    found = f"; taken for {attack.label}" if attack.found else ""
    threat = "" if attack.eps is None else f", {attack.norm} {attack.eps:.4g}"
    yield "attack", f"{attack.name}{threat}: {attack.statement}{found}"
    yield "margin", f"{margin.logits:.2f} logits, {percent(margin.probability)} ahead of {margin.runner_up}"
    yield "input", _input([(name, value) for name, value in report.input if name != "meaning"])
    yield from (("offline", told) for told in _offline(report.offline))
    cut = "; cut short" if budget.cut_short else ""
    yield "spent", f"{budget.spent_s:.1f} s of {budget.allowed_s:g} s, {budget.model_runs} model runs{cut}"


def _offline(offline: OfflineFigures) -> list[str]:
    own, changed = offline.evaluation, offline.changed
    told = [] if own is None else [_offline_line(own, f"{own.norm} {own.eps:.4g}")]
    if own is None:
        told = [f"the model was not evaluated {'under a norm ' if changed else ''}before its export"]
    return [*told, *(_offline_line(item, item.threat) for item in changed)]


def _offline_line(item: OfflineRobustness | ChangedRobustness, threat: str) -> str:
    low, high = item.interval
    images = f"{item.samples} images" + ("" if item.data is None else f" of {item.data}")
    return (
        f"clean {percent(item.clean_accuracy)}, robust {percent(item.robust_accuracy)} "
        f"({100 * low:.1f} – {100 * high:.1f}) under {threat}, {images}, {', '.join(item.attacks)}"
    )


def _input(statistics: list[tuple[str, InputStatistic]]) -> str:
    known = [(name, statistic) for name, statistic in statistics if statistic.training is not None]
    if not known:
        return "not compared: the bundle has no statistics of its training images"
    odd = [
        f"{name} {statistic.value:.3g} {statistic.unit} (training: {statistic.training.q01:.3g} to "
        f"{statistic.training.q99:.3g})"
        for name, statistic in known
        if statistic.unusual and statistic.training is not None
    ]
    return (
        "unlike the training images: " + ", ".join(odd)
        if odd
        else (f"like the training images in {', '.join(name for name, _ in known)}")
    )


def _likeliest(prediction: Prediction, count: int) -> list[tuple[str, float]]:
    return sorted(prediction.probabilities.items(), key=lambda item: -item[1])[:count]


def _bar(share: float) -> Bar:
    from rich.bar import Bar

    return Bar(1, 0, share, width=BAR)


def _read_token(path: Path) -> str:
    token = path.read_text(encoding="utf-8", errors="replace").strip()
    if not token:
        raise HardenerError(f"{path} is empty; it should hold the token.")
    return token
