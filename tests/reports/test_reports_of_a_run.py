"""A trained run, its reports, and what they tell a person to do, done."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from oracles import TINY_MODEL, write_image_folder
from run_folders import bits, write_evaluation, write_run
from typer.testing import CliRunner, Result

from hardener.cli.app import app
from hardener.config.evaluation_record import Evaluation, read_evaluations
from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.evaluation.plan import EvaluateRequest
from hardener.evaluation.run import evaluate_run
from hardener.measures import MEASURES, Measure
from hardener.progress import EpochMetrics, Silent
from hardener.reports.comparison import compare
from hardener.reports.condition import parse_condition
from hardener.reports.dossier.make import Asked, make_dossier
from hardener.training.run import TrainRequest, train

TOY = '''
"""How bright the images are that the model gets right."""

from hardener.config.evaluation_record import CurvePoint, Measured, MeasuredCurve, MeasuredFigure
from hardener.measures.run import Case, Found


def measure(case: Case) -> Found:
    """Measure the mean of each image."""
    brightness = case.pixels.float().mean(dim=(1, 2, 3)) / 255
    figures = [
        MeasuredFigure(name="bright share", value=0.625, interval=(0.5, 0.75), unit="share", better="higher"),
        MeasuredFigure(name="mean level", value=31.25, unit="levels"),
    ]
    half = [CurvePoint(parameter=0.5, accuracy=0.125, interval=(0.0, 0.25))]
    record = Measured(
        title="Toy brightness", samples=len(case.pixels), figures=figures,
        curves=[MeasuredCurve(name="dimming", points=half)], note="Only a toy.",
    )
    return Found(record, brightness)
'''


class Quiet(Silent):
    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one trained run, `a`, and its copy `b`, neither evaluated."""
    home = tmp_path_factory.mktemp("reported")
    data = write_image_folder(home / "imgs", {"bird": 20, "cat": 20, "dog": 20})
    model = home / "tiny.py"
    model.write_text(TINY_MODEL)
    recipe = load_recipe("natural").model_copy(update={"epochs": 1, "batch_size": 16})
    train(TrainRequest(str(model), data, recipe, device="cpu", out=home / "runs", name="a"), Quiet())
    return home


@pytest.fixture
def pair(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RunFolder, RunFolder]:
    """Two runs below the current folder's `runs`."""
    runs = []
    for name in ("a", "b"):
        shutil.copytree(home / "runs" / "a", tmp_path / "runs" / name)
        run = RunFolder(Path("runs") / name)
        runs.append(run)
    monkeypatch.chdir(tmp_path)
    for run in runs:
        run.write_record(run.read_record().model_copy(update={"name": run.path.name}))
    return runs[0], runs[1]


def hardener(*words: str) -> Result:
    found = CliRunner().invoke(app, list(words))
    assert found.exit_code == 0, found.output
    return found


def commands(text: str) -> list[list[str]]:
    return [shlex.split(command) for command in re.findall(r"`(hardener eval [^`]*)`", text)]


def test_a_new_measure_is_a_file_and_a_line_and_appears_everywhere(
    pair: tuple[RunFolder, RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy_measure.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(MEASURES, "toy", Measure("toy_measure:measure", "how bright images are", most_images=4))
    for run in pair:
        said = hardener("eval", str(run.path), "--attack", "fgsm", "--samples", "6", "--measure", "toy").stdout
        assert "Toy brightness: bright share 62.5 % (95 % interval 50.0 % to 75.0 %), mean level 31.25 levels" in said
    (found,) = read_evaluations(pair[0].evaluations)
    assert found.measured["toy"].samples == 4
    assert found.request is not None
    assert found.request.sections == ["toy"]
    page = re.sub(r"<[^>]+>", " ", pair[0].report.read_text()).replace("\u00a0", " ")
    for words in ("Toy brightness", "Only a toy.", "62.5 %", "50.0 % to 75.0 %", "31.25 levels", "--measure toy"):
        assert words in re.sub(r"\s+", " ", page)
    comparison = compare(pair)
    assert [(item.label, item.values) for item in comparison.measured] == [
        ("Toy brightness: bright share", [0.625, 0.625]),
        ("Toy brightness: mean level", [31.25, 31.25]),
    ]
    table = hardener("compare", "a", "b").stdout
    assert re.search(r"Toy brightness: bright share +62\.5 % +62\.5 %", table)
    assert re.search(r"Toy brightness: mean level +31\.25 levels +31\.25 levels", table)
    hardener("export", "a")
    card = (pair[0].bundle / "model_card.md").read_text()
    assert "| Toy brightness: bright share (higher is better) | 62.5 % (50.0 % to 75.0 %) | 4 |" in card
    assert "| Toy brightness: dimming, 0.5 to 0.5 | mean 12.5 %, lowest 12.5 % (0.0 – 25.0) at 0.5 | 4 |" in card
    assert "Toy brightness: Only a toy." in card


def test_following_the_advice_of_compare_makes_the_runs_attacked_alike(pair: tuple[RunFolder, RunFolder]) -> None:
    one, other = pair
    settings = {"steps": 7, "step_size": 0.01, "random_start": False}
    strong = EvaluateRequest(attacks=("fgsm", "pgd"), eps=0.05, settings=settings, samples=6, seed=3, device="cpu")
    evaluate_run(one, strong, Silent())
    with pytest.raises(HardenerError, match=r"b has not been evaluated") as unevaluated:
        compare(pair)
    evaluate_run(other, EvaluateRequest(attacks=("fgsm",), eps=0.05, samples=6, seed=3, device="cpu"), Silent())
    (note,) = [note for note in compare(pair).notes if "not attacked alike" in note]
    advised = [*commands(note), *commands(str(unevaluated.value))]
    assert len(advised) == 2
    for words in advised:
        hardener(*words[1:])
        assert not [note for note in compare(pair).notes if "alike" in note]
        assert all(attack.alike for attack in compare(pair).threats[0].attacks)
    for run in pair:
        newest = read_evaluations(run.evaluations)[-1]
        assert [attack.settings.get("steps") for attack in newest.attacks if attack.name == "pgd"] == [7]


def test_the_command_of_the_page_gives_the_same_figures_again(pair: tuple[RunFolder, RunFolder]) -> None:
    run = pair[0]
    asked = EvaluateRequest(attacks=("pgd",), eps=0.05, samples=9, seed=3, batch_size=4, device="cpu", restarts=2)
    evaluate_run(run, asked, Silent())
    shown = re.search(r"<pre><code>(.*?)</code></pre>", run.report.read_text(), re.DOTALL)
    assert shown is not None
    hardener(*shlex.split(re.sub(r"<[^>]+>", "", shown[1]))[1:])
    first, again = read_evaluations(run.evaluations)
    assert first.request is not None
    assert again.request is not None
    assert again.request.model_dump(exclude={"precision"}) == first.request.model_dump(exclude={"precision"})
    for field in ("attacks", "robust_accuracy", "clean_accuracy", "distances", "calibration"):
        before, after = (item.model_dump()[field] for item in (first, again))
        if field == "attacks":
            before, after = ([{**item, "seconds": 0} for item in found] for found in (before, after))
        assert before == after, field


def test_a_record_of_an_earlier_version_opens_and_tells_a_command(pair: tuple[RunFolder, RunFolder]) -> None:
    run = pair[0]
    evaluate_run(run, EvaluateRequest(attacks=("fgsm",), eps=0.05, samples=4, device="cpu"), Silent())
    (file,) = run.evaluations.glob("*.json")
    held = json.loads(file.read_text())
    for version in (2, 1):
        old = {key: value for key, value in held.items() if key not in {"request", "measured"}}
        old["schema"] = f"hardener/eval/{version}"
        if version == 1:
            del old["precision"]
        file.write_text(json.dumps(old))
        (found,) = read_evaluations(run.evaluations)
        assert isinstance(found, Evaluation)
        assert (found.request, found.measured) == (None, {})
        with pytest.raises(HardenerError, match="b has not been evaluated") as error:
            compare(pair)
        (words,) = commands(str(error.value))
        assert words[2:] == [
            "runs/b", "--attack", "fgsm", "--norm", "linf", "--eps", "0.05", "--samples", "4", "--seed", "0",
        ]  # fmt: skip


def test_a_dossier_leads_with_the_images_that_the_run_held_out(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run")
    write_evaluation(run, bits(9, 10), bits(4, 10), own=True)
    write_evaluation(run, bits(9, 10), bits(1, 10), minute=1, norm="l2", eps=0.5, own=False, root="/x/easy")
    asked = (parse_condition("min", "l2-0.5=0.0"), parse_condition("min", "clean=0.1"))
    dossier = make_dossier(run, Asked(requirements=asked))
    assert [item.data.own for item in dossier.evaluations] == [True, False]
    ball, clean = dossier.requirements
    assert "the test split of /x/easy, which the run did not hold out" in ball.set_up
    assert "/x/easy" not in clean.set_up
    assert any("and not the 90.0 %" in remark and "/x/easy" in remark for remark in clean.remarks)
