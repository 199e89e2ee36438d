"""The report: what was measured stands in it, what was not does not, and a browser can show it alone."""

from __future__ import annotations

import base64
import io
import itertools
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from hardener.config.evaluation_record import (
    Calibration,
    CalibrationBin,
    Certification,
    Check,
    Clever,
    CorruptionKind,
    Corruptions,
    CurvePoint,
    Distances,
    EpsCurve,
    EvaluatedAttack,
    EvaluatedData,
    EvaluatedModel,
    EvaluatedThreat,
    Evaluation,
    Flag,
    InvarianceCurve,
    Landscape,
    PerClass,
)
from hardener.reports._plots import Line, line_chart, picture, surface_chart
from hardener.reports.command import eval_command, request_of
from hardener.reports.measured_lines import calibration_interval
from hardener.reports.page import (
    WorstImage,
    show_setting,
    what_it_does_not_say,
    write_report,
)
from hardener.statistics.interval import clopper_pearson

VOID = {"meta", "img", "br", "link", "input", "hr", "col"}
SECTIONS = {
    "flags",
    "eps-curves",
    "distances",
    "audit",
    "images",
    "classes",
    "invariances",
    "corruptions",
    "certification",
    "clever",
    "calibration",
    "landscape",
    "training",
}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
KINDS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}


class Page(HTMLParser):
    """Checks that tags balance and ids are unique, and keeps what a test asks about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.links: list[str] = []
        self.faults: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> stays open" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        if tag == "br":
            self.text += " "
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "a":
            self.links.append(str(given.get("href")))
        if tag == "img" and not given.get("alt"):
            self.faults.append("an image without a text")
        if tag == "svg" and not (given.get("aria-label") or given.get("aria-hidden")):
            self.faults.append("a chart without a text")
        if tag == "th" and "scope" not in given:
            self.faults.append("a header cell without scope")
        if len(attrs) != len(given):
            self.faults.append(f"<{tag}> has an attribute twice")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """<path/>: nothing to balance."""

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th", "text", "li", "p", "div", "summary", "small", "caption", "h1", "h2", "h3"}:
            self.text += " "
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.text += data


def points(values: list[tuple[float, float]]) -> list[CurvePoint]:
    return [CurvePoint(parameter=x, accuracy=y, interval=(max(y - 0.041, 0.0), min(y + 0.039, 1.0))) for x, y in values]


def minimal(**changes: Any) -> Evaluation:
    """What every evaluation has, and nothing else."""
    given: dict[str, Any] = {
        "created_at": "2026-05-04T10:11:12+00:00",
        "model": EvaluatedModel(name="tiny", run=None, recipe=None, fingerprint="ab" * 32),
        "data": EvaluatedData(root="imgs", split="test", images_in_split=400, skipped=0, fingerprint="cd" * 32),
        "threat": EvaluatedThreat(norm="linf", eps=8 / 255),
        "samples": 100,
        "clean_accuracy": 0.91,
        "clean_interval": (0.836, 0.958),
        "robust_accuracy": 0.37,
        "interval": (0.276, 0.472),
        "verdict": "inconclusive",
        "reason": "not judged",
        "attacks": [
            EvaluatedAttack(
                name="pgd",
                settings={"steps": 10, "step_size": 2 / 255, "random_start": True, "restarts": 1},
                attacked=91,
                broken=54,
                robust_accuracy=0.37,
                seconds=3.21,
            )
        ],
        "per_class": [],
        "per_image": None,
        "flags": [],
        "seed": 0,
        "device": "cpu",
        "versions": {"torch": "2.9.1"},
        "hardware": {"machine": "x86_64"},
    }
    return Evaluation(**(given | changes))


def full(*, classes: tuple[str, ...] = CLASSES) -> Evaluation:
    """Every section, with numbers as a small adversarially trained network might have them."""
    left, attacks, standing = 0.842, [], 421
    plans: list[tuple[str, dict[str, Any], int]] = [
        ("fgsm", {"loss": "ce", "random_start": False}, 142),
        ("pgd", {"steps": 20, "step_size": 0.0039215686, "loss": "ce", "random_start": True}, 41),
        ("pgd", {"steps": 20, "step_size": 0.0039215686, "loss": "margin", "random_start": True}, 14),
        ("apgd", {"steps": 100, "loss": "ce", "rho": 0.75, "random_start": True}, 3),
        ("apgd-t", {"steps": 100, "loss": "dlr", "targets": 9}, 7),
        ("fab-t", {"steps": 100, "targets": 9}, 0),
        ("square", {"queries": 5000, "p_init": 0.8}, 1),
    ]
    for name, settings, broken in plans:
        left = (standing - broken) / 500
        attacks.append(
            EvaluatedAttack(
                name=name,
                settings={**settings, "restarts": 1},
                attacked=standing,
                broken=broken,
                robust_accuracy=left,
                seconds=round(1.37 * settings.get("steps", 30) ** 0.9, 2),
            )
        )
        standing -= broken
    eps = [0.0, *(level / 255 for level in (1, 2, 4, 8, 16, 32, 64, 128))]
    curves = [
        EpsCurve(
            attack=name,
            samples=200,
            points=points([(e, round(0.842 * math.exp(-((255 * e / half) ** 1.4)), 3)) for e in eps]),
        )
        for name, half in (("fgsm", 17.0), ("pgd", 12.1), ("pgd", 11.3))
    ]
    kinds = [
        CorruptionKind(
            name=name,
            family=family,
            accuracies=[round(0.84 - (0.03 + 0.013 * (7 * len(name) % 11)) * s, 3) for s in range(1, 6)],
        )
        for family, names in KINDS.items()
        for name in names
    ]
    changes: list[tuple[str, str, float, list[tuple[float, float]]]] = [
        ("rotation", "degrees", 0.0, [(a, 0.842 - 0.00028 * a * a) for a in range(-45, 46, 5)]),
        ("brightness", "factor", 1.0, [(f, 0.842 - 0.9 * (f - 1) ** 2) for f in (0.3, 0.6, 0.8, 1.0, 1.25, 1.6, 1.9)]),
        ("contrast", "factor", 1.0, [(f, 0.842 - 0.6 * (f - 1) ** 2) for f in (0.25, 0.5, 1.0, 1.5, 2.0)]),
        ("gray", "share of colour removed", 0.0, [(f / 4, 0.842 - 0.11 * (f / 4) ** 2) for f in range(5)]),
        ("translation", "share of the size", 0.0, [(f / 20, 0.842 - 0.01 * f * f) for f in range(-5, 6)]),
        ("scale", "factor", 1.0, [(f, 0.842 - 1.1 * (f - 1) ** 2) for f in (0.5, 0.75, 1.0, 1.25, 1.5)]),
    ]
    steps = [-8 / 255 + 16 / 255 * index / 20 for index in range(21)]
    return minimal(
        model=EvaluatedModel(
            name="resnet18", run="resnet18-sprout-20260504", recipe="sprout", fingerprint="4f5e6d7c" * 8
        ),
        data=EvaluatedData(
            root="data/cifar10", split="validation", images_in_split=5000, skipped=2, fingerprint="0a1b2c3d" * 8
        ),
        suite="standard",
        samples=500,
        clean_accuracy=0.842,
        clean_interval=(0.807, 0.873),
        robust_accuracy=left,
        interval=(0.382, 0.471),
        verdict="partly robust",
        reason="Some images stand under every attack that was run, but more than half of those answered rightly fall.",
        attacks=attacks,
        not_run=["transfer attacks", "decision-based attacks"],
        per_class=[
            PerClass(
                name=name,
                samples=46 + 3 * (index % 4),
                clean_accuracy=0.70 + 0.027 * (7 * index % 11),
                robust_accuracy=0.21 + 0.043 * (5 * index % 11),
            )
            for index, name in enumerate(classes)
        ],
        per_image="20260504-101112.npz",
        flags=[
            Flag(
                id="label-smoothing-gap",
                message="PGD on the margin breaks 14 images that PGD on the cross-entropy leaves standing",
                page="docs/flags.md#label-smoothing-gap",
            )
        ],
        checks=[
            Check(
                id="zero-gradients",
                question="Are there gradients to follow?",
                answer="yes, for every image",
                value=0.0,
                raised=False,
            ),
            Check(
                id="half-eps",
                question="Does eps = 1/2 bring accuracy down to chance?",
                answer="yes, to 0.0 %",
                value=0.0,
                raised=False,
            ),
            Check(
                id="label-smoothing-gap",
                question="Does another loss break more?",
                answer="the margin breaks 14 more images than the cross-entropy",
                value=0.0283,
                raised=True,
            ),
            Check(
                id="not-converged",
                question="Do more steps still lower accuracy?",
                answer="not asked: no attack with steps was run twice",
                value=None,
                raised=None,
            ),
        ],
        distances=Distances(samples=421, found=417, quartiles=(2.31 / 255, 6.72 / 255, 14.9 / 255)),
        eps_curves=curves,
        calibration=Calibration(
            samples=500,
            expected_error=0.0473,
            bins=[
                CalibrationBin(
                    low=k / 15,
                    high=(k + 1) / 15,
                    count=[0, 0, 3, 7, 11, 14, 17, 22, 25, 28, 33, 41, 55, 89, 155][k],
                    confidence=(k + 0.55) / 15,
                    accuracy=min(max((k + 0.4) / 15 + 0.06 * math.sin(k), 0), 1),
                )
                for k in range(15)
            ],
        ),
        invariances=[
            InvarianceCurve(
                name=name,
                unit=unit,
                identity=identity,
                samples=500,
                points=points([(x, round(max(y, 0.1), 3)) for x, y in values]),
            )
            for name, unit, identity, values in changes
        ],
        corruptions=Corruptions(
            samples=500,
            kinds=kinds,
            mean_corruption_error=sum(1 - a for kind in kinds for a in kind.accuracies) / 75,
            note="Images of 32 pixels are enlarged to 64 for glass blur and frost, and reduced afterwards.",
        ),
        certification=Certification(
            samples=200,
            noise_sigma=0.25,
            selection_draws=100,
            draws=10000,
            confidence=0.999,
            abstained=13,
            smoothed_accuracy=0.735,
            points=points([(0.0, 0.735), (0.1, 0.66), (0.25, 0.545), (0.5, 0.33), (0.75, 0.155), (1.0, 0.0)]),
        ),
        clever=Clever(
            samples=50,
            norm="linf",
            batches=500,
            batch_size=1024,
            radius=0.1,
            mean=0.0412,
            quartiles=(0.018, 0.0371, 0.0588),
        ),
        landscape=Landscape(
            path="test/cat/0017.png",
            steps=steps,
            loss=[
                [
                    0.21 + 1.7 / (1 + math.exp(-120 * (g + 0.3 * r * r * 30 - 0.006))) + 0.05 * math.cos(90 * r)
                    for r in steps
                ]
                for g in steps
            ],
        ),
        seconds=1873.4,
        device="cuda",
        versions={"python": "3.12.4", "hardener": "0.3.0", "torch": "2.9.1", "numpy": "2.3.1"},
        hardware={"machine": "x86_64", "cpus": 16, "threads": 8, "gpu": "NVIDIA H200"},
    )


def pictures(*, count: int = 2, side: int = 8, channels: int = 3) -> list[WorstImage]:
    generator = np.random.default_rng(0)
    found = []
    for index in range(count):
        clean = generator.random((channels, side, side), dtype=np.float32)
        delta = 8 / 255 * np.sign(generator.random(clean.shape, dtype=np.float32) - 0.5)
        fallen = (clean + delta).clip(0, 1)
        found.append(WorstImage(f"test/cat/{index:04d}.png", "cat", "dog", clean, fallen, 8 / 255, 0.9371))
    return found


def written(evaluation: Evaluation, folder: Path, **extras: Any) -> str:
    write_report(evaluation, folder / "report.html", **extras)
    return (folder / "report.html").read_text(encoding="utf-8")


def png(path: Path) -> Path:
    Image.new("RGB", (40, 20), "white").save(path)
    return path


def figures(value: object, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a record, by its place; the grid of the landscape is a picture only."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "loss":
                yield from figures(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from figures(inner, f"{path}[{place}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def shown(value: float) -> set[str]:
    if isinstance(value, int):
        return {str(value), f"{value:,}"}
    minus = "\u2212" if value < 0 else ""
    value = abs(value)
    ways = {f"{100 * value:.1f}", f"{100 * value:.4g} %", f"{value:.4g}", f"{255 * value:.3g}/255", f"{value:.1f}"}
    return {minus + way for way in ways} | {f"{value // 60:.0f} min {value % 60:02.0f} s"}


def test_every_figure_that_was_measured_stands_in_the_page(tmp_path: Path) -> None:
    evaluation = full()
    text = written(evaluation, tmp_path)
    words = set(re.split(r",?[\s;:()]+", Page(text).text.replace("\u00a0", " ")))
    whole = Page(text).text.replace("\u00a0", " ")
    missing = [
        (place, value)
        for place, value in figures(evaluation.model_dump())
        if not any(way in words or (" " in way and way in whole) for way in shown(value))
        and not (place.startswith(".checks") and value == 0)  # the answer says it
        and ".steps[" not in place  # the landscape's: the ends are told
        and not re.fullmatch(r"\.eps_curves\[\d\]\.points\[0\]\.parameter", place)  # eps 0 stands as 0/255
    ]
    assert missing == []


def test_every_word_of_the_record_stands_in_the_page(tmp_path: Path) -> None:
    evaluation = full()
    page = Page(written(evaluation, tmp_path, curves=png(tmp_path / "train.png"), pictures=pictures()))
    words = [evaluation.reason, evaluation.data.root, evaluation.data.fingerprint, evaluation.model.fingerprint]
    words += [
        "Partly robust",
        "sprout",
        "suite standard",
        "linf 8/255",
        "20260504-101112.npz",
        "NVIDIA H200",
        "31 min 13 s",
    ]
    words += [word for flag in evaluation.flags for word in (flag.id, flag.message, flag.page)]
    words += [word for check in evaluation.checks for word in (check.id, check.question, check.answer)]
    words += [item.name for item in evaluation.per_class] + [
        curve.name.capitalize() for curve in evaluation.invariances
    ]
    assert evaluation.corruptions is not None
    words += [kind.name.replace("_", " ") for kind in evaluation.corruptions.kinds] + [evaluation.corruptions.note]
    words += ["pgd (ce), n", "pgd (margin), n", "test/cat/0017.png", "test/cat/0001.png", "became", "93.7"]
    words += ["raised", "fine", "not asked", *evaluation.not_run, *(f"{k} {v}" for k, v in evaluation.versions.items())]
    text = page.text.replace("\u00a0", " ")
    assert [word for word in words if word not in text] == []


def test_the_full_page_is_valid_and_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    text = written(full(), tmp_path, curves=png(tmp_path / "train.png"), pictures=pictures())
    page = Page(text)
    assert page.faults == []
    assert len(page.ids) == len(set(page.ids))
    assert set(page.ids) >= SECTIONS
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert "script" not in page.tags
    assert not re.search(
        r"https?:|//[a-z]|@import|url\(|\bon[a-z]+=", re.sub(r"data:image/png;base64,[^\"]*", "", text)
    )
    assert page.headings[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(page.headings))
    assert page.tags.count("table") == text.count("<caption")


def test_what_was_not_measured_has_no_section(tmp_path: Path) -> None:
    page = Page(written(minimal(), tmp_path))
    assert page.faults == []
    assert not SECTIONS & set(page.ids)
    assert {"verdict", "figures", "limits", "attacks", "settings"} <= set(page.ids)
    assert "svg" not in page.tags
    assert "img" not in page.tags
    for word in ("CLEVER", "ertified", "corruption", "alibration", "audit", "Flags"):
        assert word not in page.text


@pytest.mark.parametrize(
    "section", ["invariances", "corruptions", "certification", "clever", "calibration", "landscape"]
)
def test_a_section_stands_alone(tmp_path: Path, section: str) -> None:
    page = Page(written(minimal(**{section: getattr(full(), section)}), tmp_path))
    assert page.faults == []
    assert SECTIONS & set(page.ids) == {section}


def test_names_that_carry_markup_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    bad = "<script>alert('x')</script>\" onload=\"x"
    known = full()
    curve = known.invariances[0].model_copy(update={"name": bad, "unit": bad})
    evaluation = known.model_copy(
        update={
            "model": EvaluatedModel(name=bad, run=bad, recipe=bad, fingerprint=bad),
            "per_class": [PerClass(name=bad, samples=3, clean_accuracy=1.0, robust_accuracy=0.0)],
            "flags": [Flag(id=bad, message=bad, page=bad)],
            "checks": [Check(id=bad, question=bad, answer=bad, value=None, raised=True)],
            "invariances": [curve],
            "eps_curves": [known.eps_curves[0].model_copy(update={"attack": bad})],
            "reason": bad,
        }
    )
    picture = WorstImage(bad, bad, bad, np.zeros((1, 8, 8), np.float32), np.ones((1, 8, 8), np.float32), 1.0)
    page = Page(written(evaluation, tmp_path, pictures=[picture]))
    assert page.faults == []
    assert "script" not in page.tags
    assert page.text.count(bad) >= 12


def test_what_to_type_is_set_as_code(tmp_path: Path) -> None:
    text = written(minimal(reason="Run `--suite <b>standard` for more."), tmp_path)
    assert "<p>Run <code>--suite &lt;b&gt;standard</code> for more.</p>" in text


def test_many_classes_are_told_from_the_weakest_on(tmp_path: Path) -> None:
    names = tuple(f"kind {place:02d}" for place in range(45))
    evaluation = full(classes=names)
    text = written(evaluation, tmp_path)
    assert "The 10 weakest of 45 classes" in text
    assert "The other 35 classes" in text
    order = [names.index(name) for name in re.findall(r'<th scope="row">(kind \d\d)</th>', text)]
    robust = [evaluation.per_class[place].robust_accuracy for place in order]
    assert sorted(order) == list(range(45))
    assert robust == sorted(robust)


def test_a_page_stays_small_with_twelve_large_images_of_noise(tmp_path: Path) -> None:
    text = written(full(), tmp_path, pictures=pictures(count=12, side=224))
    assert text.count("<img") == 36
    assert len(text) < 1_500_000


@pytest.mark.parametrize(("channels", "size"), [(1, (8, 8)), (3, (32, 32)), (3, (40, 100)), (1, (300, 200))])
def test_pictures_are_about_96_pixels_and_keep_their_shape(channels: int, size: tuple[int, int]) -> None:
    uri = picture(np.random.default_rng(0).random((channels, *size), dtype=np.float32))
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert 49 <= max(image.size) <= 96
    assert image.width / image.height == pytest.approx(size[1] / size[0], rel=0.02)
    assert len(image.getbands()) == channels


def test_a_small_picture_is_repeated_pixel_by_pixel() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    uri = picture(levels.astype(np.float32) / np.float32(255))
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert np.array_equal(image.transpose(2, 0, 1), levels.repeat(12, axis=1).repeat(12, axis=2))


def test_an_image_that_did_not_change_is_shown_as_grey(tmp_path: Path) -> None:
    still = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
    page = Page(written(minimal(), tmp_path, pictures=[WorstImage("a.png", "cat", "dog", still, still, 0.0)]))
    assert "change × 1" in page.text


def test_what_it_does_not_say_names_what_was_not_run_and_nothing_that_was() -> None:
    said = " ".join(what_it_does_not_say(full()))
    assert "Run here: fgsm, pgd (ce, margin), apgd, apgd-t, fab-t, square." in said
    assert "Not run: transfer attacks, decision-based attacks." in said
    assert "AutoAttack" not in said
    assert "validation split" in said
    assert "2 images could not be read" in said
    assert "Not run" not in " ".join(what_it_does_not_say(minimal()))


def test_fgsm_alone_is_called_the_weakest_even_beside_the_audit() -> None:
    fgsm = minimal().attacks[0].model_copy(update={"name": "fgsm"})
    audit = fgsm.model_copy(update={"name": "audit"})
    for attacks in ([fgsm], [fgsm, audit]):
        assert "weakest attack" in " ".join(what_it_does_not_say(minimal(attacks=attacks)))


def ran(**changes: Any) -> Evaluation:
    return minimal(model=EvaluatedModel(name="tiny", run="tiny-1", recipe=None, fingerprint="ab"), **changes)


def attacked(name: str, **settings: Any) -> EvaluatedAttack:
    return EvaluatedAttack(name=name, settings=settings, attacked=9, broken=1, robust_accuracy=0.5, seconds=1.0)


def repeat_command(evaluation: Evaluation) -> str | None:
    asked = request_of(evaluation)
    return None if asked is None else eval_command(asked)


def test_the_command_repeats_a_suite_and_its_sections() -> None:
    given = full()
    assert repeat_command(given) == (
        "hardener eval resnet18-sprout-20260504 --data data/cifar10 --suite standard --norm linf --eps 8/255 "
        "--invariance --corruptions --certify --clever --curves --samples 502 --seed 0 --skip-bad-images"
    )
    assert "--curves" in str(repeat_command(given.model_copy(update={"eps_curves": []})))
    bare = given.model_copy(update={"eps_curves": [], "landscape": None, "clever": None})
    assert "--certify --samples" in str(repeat_command(bare))
    assert repeat_command(minimal()) is None


def test_the_command_repeats_chosen_attacks_with_the_settings_they_share() -> None:
    default = attacked("pgd", steps=20, step_size=2.5 * 8 / 255 / 20, random_start=True, restarts=1)
    assert repeat_command(ran(attacks=[default])) == (
        "hardener eval tiny-1 --data imgs --attack pgd --norm linf --eps 8/255 --steps 20 --samples 100 --seed 0"
    )
    chosen = [
        attacked("fgsm", loss="ce", restarts=1),
        attacked("pgd", steps=7, step_size=0.1 / 3, random_start=False, restarts=3),
        attacked("audit", restarts=1),
    ]
    words = str(repeat_command(ran(attacks=chosen, threat=EvaluatedThreat(norm="l2", eps=0.1 + 0.2)))).split()
    assert "--attack fgsm --attack pgd --norm l2" in " ".join(words)
    assert "audit" not in words
    assert float(words[words.index("--eps") + 1]) == 0.1 + 0.2
    assert float(words[words.index("--step-size") + 1]) == 0.1 / 3
    assert words[words.index("--restarts") + 1] == "3"
    assert "--no-random-start" in words
    differing = [attacked("pgd", steps=20, step_size=None), attacked("apgd", steps=100)]
    assert "--step" not in str(repeat_command(ran(attacks=differing)))


def test_the_command_names_the_surrogate() -> None:
    attacks = [attacked("transfer", surrogate="tiny natural")]
    assert "--surrogate 'tiny natural'" in str(repeat_command(ran(attacks=attacks)))


@pytest.mark.parametrize(
    ("bf16", "asked", "precision"),
    [
        (False, {}, "float32"),
        (False, {"asked": "a copy in ONNX Runtime"}, None),
        (True, {"asked": "a copy in ONNX Runtime"}, "bfloat16"),
    ],
)
def test_the_command_asks_a_copy_where_one_was_asked(bf16: bool, asked: dict[str, str], precision: str | None) -> None:
    attacks = [attacked("apgd", bf16=bf16), attacked("square", **asked)]
    words = str(repeat_command(ran(attacks=attacks))).split()
    assert dict(itertools.pairwise(words)).get("--precision") == precision


def test_every_option_of_the_command_exists() -> None:
    from hardener.cli.app import app

    command = typer.main.get_command(app).commands["eval"]  # type: ignore[attr-defined]
    known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    attacks = [attacked("transfer", steps=3, step_size=0.5, random_start=False, restarts=2, surrogate="other")]
    commands = [repeat_command(full()), repeat_command(ran(attacks=attacks))]
    used = {word for command in commands for word in str(command).split() if word.startswith("--")}
    assert used <= known


def test_settings_are_shown_as_a_person_would_type_them() -> None:
    assert show_setting(2 / 255, "step_size") == "2/255"
    assert show_setting(0.75, "rho") == "0.75"
    assert show_setting(True) == "yes"
    assert show_setting(20, "steps") == "20"
    assert show_setting("margin", "loss") == "margin"


def test_a_line_chart_puts_its_points_where_they_belong() -> None:
    chart = line_chart(
        [Line(points([(0.0, 1.0), (1.0, 0.0)]))], description="<d>", x_label="x", show_x=str, width=400, height=200
    )
    (line,) = re.findall(r'class="line c0" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', chart)
    left, top, right, bottom = map(float, line)
    assert 0 < left < right < 400
    assert 0 < top < bottom < 200
    ticks = re.findall(r'<text x="[\d.]+" y="([\d.]+)" text-anchor="end">(0|100)</text>', chart)
    heights = {label: float(y) for y, label in ticks}
    assert heights["100"] - top == pytest.approx(heights["0"] - bottom)
    assert "&lt;d&gt;" in chart


@pytest.mark.parametrize("count", [2, 7, 10, 101])
@pytest.mark.parametrize("marked", [0.0, 0.5])
def test_labels_of_an_axis_stand_apart_and_name_the_marked_place(count: int, marked: float) -> None:
    values = sorted({*(k / (count - 1) for k in range(count)), marked})
    chart = line_chart(
        [Line(points([(value, 0.5) for value in values]))],
        description="",
        x_label="x",
        show_x=lambda x: f"{x:.2f}",
        reference=(marked, "here"),
    )
    ticks = re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="middle">(\d\.\d\d)<', chart)
    at = [float(x) for x, _ in ticks]
    assert len(at) >= 2
    assert all(b - a > 28 for a, b in itertools.pairwise(at))
    assert f"{marked:.2f}" in {label for _, label in ticks}


@pytest.mark.parametrize(
    ("steps", "loss"),
    [
        ([-1.0, 0.0, 1.0], [[1.0, 2.0, 3.0]] * 3),
        ([0.0], [[1.0]]),
        ([-1.0, 1.0], [[0.0, 0.0], [0.0, 0.0]]),
        ([-1.0, 1.0], [[math.inf, 0.0], [math.nan, 1.0]]),
        ([k - 60.0 for k in range(121)], [[float(k) for k in range(121)]] * 121),
    ],
)
def test_a_surface_is_drawn_whatever_the_loss(steps: list[float], loss: list[list[float]]) -> None:
    chart = surface_chart(steps, loss, description="", show_step=str)
    assert "nan" not in chart
    assert "inf" not in chart
    assert len(chart) < 250_000
    assert Page(str(chart).replace('aria-label=""', 'aria-label="x"')).faults == []
    across = min(len(steps), 41)
    assert chart.count("<path fill=") == (across - 1) ** 2


def test_a_report_replaces_the_one_before(tmp_path: Path) -> None:
    assert "91.0" in written(minimal(), tmp_path)
    assert "84.2" in written(full(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_interval_of_the_calibration_error_takes_the_nearest_and_the_farthest_accuracy_of_each_bin() -> None:
    one = CalibrationBin(low=0.8, high=1.0, count=100, confidence=0.9, accuracy=0.5)
    low, high = clopper_pearson(50, 100)
    found = Calibration(samples=100, expected_error=0.4, bins=[one])
    assert calibration_interval(found) == pytest.approx((0.9 - high, 0.9 - low))
    sure = one.model_copy(update={"low": 0.4, "high": 0.6, "confidence": 0.5})
    both = calibration_interval(Calibration(samples=200, expected_error=0.2, bins=[one, sure]))
    wider = clopper_pearson(50, 100, 0.975)
    half = max(wider[1] - 0.5, 0.5 - wider[0])
    assert both == pytest.approx(((0.9 - wider[1]) / 2, (0.9 - wider[0] + half) / 2))
