from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
from run_folders import bits, certification, corruptions, write_evaluation, write_run

from hardener.config.evaluation_record import Balanced, Flag, Measured, MeasuredFigure, PerClass
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.reports.condition import MEAN, conditions_in, parse_condition
from hardener.reports.gate import Outcome, judge
from hardener.reports.gate_files import write_junit, write_summary
from hardener.statistics.interval import clopper_pearson
from hardener.statistics.paired import hoeffding_interval, newcombe_paired
from hardener.threat import ChangeThreat


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """One that was evaluated: 90 of 100 right, 40 under attack in linf 8/255."""
    run = write_run(tmp_path, "run")
    write_evaluation(
        run, bits(90, 100), bits(40, 100), corruptions=corruptions(0.6, 0.8), certification=certification({0.25: 0.5})
    )
    return run


def holds(run: RunFolder, text: str) -> Outcome:
    (outcome,) = judge(run, [parse_condition("min", text)]).outcomes
    return outcome


def drops(run: RunFolder, text: str, against: RunFolder) -> Outcome:
    (outcome,) = judge(run, [parse_condition("max-drop", text)], against).outcomes
    return outcome


@pytest.mark.parametrize(
    ("measure", "low"),
    [
        ("clean", clopper_pearson(90, 100)[0]),
        ("linf-8/255", clopper_pearson(40, 100)[0]),
        ("certified-0.25", clopper_pearson(50, 100)[0]),
        ("corruptions", hoeffding_interval(0.7, 100)[0]),
    ],
)
def test_the_lower_end_decides(run: RunFolder, measure: str, low: float) -> None:
    assert holds(run, f"{measure}={low - 1e-6}").passed
    over = holds(run, f"{measure}={low + 1e-6}")
    assert not over.passed
    assert "The figure reaches it and the interval does not" in over.why
    assert f"n = 100; needed: a lower end of at least {100 * low:.1f} %" in over.line
    assert holds(run, f"{measure}=0.99").why == ""


def test_clean_accuracy_is_of_the_evaluation_with_most_images(run: RunFolder) -> None:
    write_evaluation(run, bits(20, 20), bits(3, 20), minute=5, eps=4 / 255)
    assert "n = 100" in holds(run, "clean=0.8").found
    assert "n = 20" in holds(run, "linf-4/255=0.1").found
    write_evaluation(run, bits(15, 40), bits(3, 40), minute=6, root="field", eps=4 / 255)
    assert "n = 40" in holds(run, "clean=0.1").found, "the newest one's data"
    seen = Flag(id="trained-on", message="3 were trained on", page="p")
    write_evaluation(run, bits(40, 200), bits(3, 200), minute=3, root="field", flags=[seen])
    assert "n = 40" in holds(run, "clean=0.1").found, "no image that was trained on"


def test_a_drop_of_clean_accuracy_is_of_the_same_images_where_it_can_be(run: RunFolder, tmp_path: Path) -> None:
    before = write_run(tmp_path, "before")
    write_evaluation(before, bits(20, 20), bits(3, 20), images="few")
    write_evaluation(run, bits(19, 20), bits(3, 20), minute=5, images="few")
    assert "paired, on the same images" in drops(run, "clean=0.1", before).found
    assert "n = 100" in holds(run, "clean=0.8").found


def test_the_mean_over_eps_is_a_measure(run: RunFolder) -> None:
    figure = MeasuredFigure(name="mean-linf-8/255", value=0.55, unit="share", better="higher")
    found = {MEAN: Measured(title="mean", samples=400, figures=[figure])}
    write_evaluation(run, bits(90, 100), bits(40, 100), minute=5, measured=found)
    low, _ = hoeffding_interval(0.55, 400)
    assert holds(run, f"mean-linf-8/255={low - 1e-6:.6f}").passed
    assert not holds(run, f"mean-linf-8/255={low + 1e-5:.6f}").passed
    assert "n = 400" in holds(run, "mean-linf-8/255=0.3").found
    with pytest.raises(HardenerError, match="has no mean robust accuracy up to linf 4/255"):
        holds(run, "mean-linf-4/255=0.3")


def test_the_mean_over_classes_is_a_measure_and_a_small_class_widens_its_interval(run: RunFolder) -> None:
    classes = [
        PerClass(name="cat", samples=90, clean_accuracy=0.9, robust_accuracy=0.5),
        PerClass(name="dog", samples=10, clean_accuracy=0.7, robust_accuracy=0.3),
    ]
    found = Balanced(classes=2, clean_accuracy=0.8, robust_accuracy=0.4)
    write_evaluation(run, bits(88, 100), bits(48, 100), minute=5, per_class=classes, balanced=found)
    reach = math.sqrt((1 / 90 + 1 / 10) / 4 * math.log(2 / 0.05) / 2)
    for measure, share in (("balanced", 0.8), ("balanced-linf-8/255", 0.4)):
        assert holds(run, f"{measure}={share - reach - 1e-6:.7f}").passed
        assert not holds(run, f"{measure}={share - reach + 1e-6:.7f}").passed
        wide = holds(run, f"{measure}={share}").figure.bounds(parse_condition("min", f"{measure}=0").aspect, 0.99)
        assert wide[0] < share - reach
    assert "n = 100" in holds(run, "balanced=0.1").found
    with pytest.raises(HardenerError, match="has no balanced robust accuracy under linf 4/255"):
        holds(run, "balanced-linf-4/255=0.1")
    write_evaluation(
        run, bits(88, 100), bits(48, 100), minute=6, per_class=classes, balanced=found, verdict="inconclusive"
    )
    assert "proves nothing" in holds(run, "balanced-linf-8/255=0.01").why
    assert holds(run, "balanced=0.1").passed


def test_the_mean_over_classes_is_a_measure_under_a_threat_without_a_norm(run: RunFolder) -> None:
    change = ChangeThreat("spatial", (("rotation", (-15.0, 15.0)),), ("rotation",), "turned")
    classes = [PerClass(name=name, samples=50, clean_accuracy=0.9, robust_accuracy=0.6) for name in ("cat", "dog")]
    found = Balanced(classes=2, clean_accuracy=0.9, robust_accuracy=0.6)
    asked, reach = "balanced-spatial:rotation=-15,15", math.sqrt(2 / 50 / 4 * math.log(2 / 0.05) / 2)
    with pytest.raises(HardenerError, match=r"--threat spatial --set rotation=-15.0,15.0") as told:
        holds(run, f"{asked}=0.1")
    assert "balanced robust accuracy under spatial (rotation -15 to 15)" in str(told.value)
    write_evaluation(run, bits(90, 100), bits(60, 100), minute=5, threat=change, per_class=classes)
    with pytest.raises(HardenerError, match=r"not so uneven. Ask for spatial:rotation=-15\.0,15\.0 instead"):
        holds(run, f"{asked}=0.1")
    write_evaluation(run, bits(90, 100), bits(60, 100), minute=6, threat=change, per_class=classes, balanced=found)
    assert holds(run, f"{asked}={0.6 - reach - 1e-6:.7f}").passed
    assert not holds(run, f"{asked}={0.6 - reach + 1e-6:.7f}").passed
    assert holds(run, "balanced=0.5").passed
    with pytest.raises(HardenerError, match="has no balanced robust accuracy under spatial. It was evaluated under"):
        holds(run, "balanced-spatial=0.1")


@pytest.mark.parametrize(("measure", "instead"), [("balanced", "clean"), ("balanced-linf-8/255", "linf-8/255")])
def test_even_classes_have_no_balanced_accuracy_and_what_to_ask_for_is_said(
    run: RunFolder, measure: str, instead: str
) -> None:
    with pytest.raises(HardenerError, match="the images evaluated are not so uneven") as told:
        holds(run, f"{measure}=0.1")
    named = str(told.value).rpartition("Ask for ")[2].removesuffix(" instead.")
    assert named == instead
    assert holds(run, f"{named}=0.1").passed


def test_all_that_was_not_measured_is_told_at_once_with_the_commands_that_measure_it(run: RunFolder) -> None:
    asked = [parse_condition("min", text) for text in ("linf-4/255=0.1", "clean=0.1", "mean-l2-0.5=0.1")]
    with pytest.raises(HardenerError) as told:
        judge(run, asked)
    assert f"hardener eval {run.path} --norm linf --eps 4/255`" in str(told.value)
    assert f"hardener eval {run.path} --norm l2 --eps 0.5 --measure mean-accuracy`" in str(told.value)


@pytest.mark.parametrize("spelled", ["8/255", "0.0313725", "0.03137254901960784", "3.13725e-2"])
def test_eps_may_be_spelled_in_any_way(run: RunFolder, spelled: str) -> None:
    assert holds(run, f"linf-{spelled}=0.2").passed


def test_the_newest_evaluation_of_a_threat_model_counts_and_a_lower_older_one_is_said(run: RunFolder) -> None:
    write_evaluation(run, bits(90, 100), bits(70, 100), minute=5, attacks=[("fgsm", {}, 0.7)])
    write_evaluation(run, bits(90, 100), bits(10, 100), minute=6, norm="l2", eps=0.5)
    judgement = judge(run, [parse_condition("min", "linf-8/255=0.5"), parse_condition("min", "linf-8/255=0.55")])
    assert judgement.failed == []
    (note,) = judgement.notes
    assert "the newest evaluation counts and found 70.0 %" in note
    assert "2026-01-02 00:00 (pgd) found 40.0 % on the same images" in note
    assert not holds(run, "l2-0.5=0.5").passed


def test_an_inconclusive_robust_accuracy_meets_no_condition(run: RunFolder, tmp_path: Path) -> None:
    write_evaluation(
        run, bits(99, 100), bits(99, 100), minute=1, verdict="inconclusive", reason="gradients are zero", images="b"
    )
    failed = holds(run, "linf-8/255=0.1")
    assert not failed.passed
    assert failed.why == "The evaluation is inconclusive, so its robust accuracy proves nothing: gradients are zero"
    assert holds(run, "clean=0.9").passed, "says nothing of clean accuracy"
    other = write_run(tmp_path, "other")
    write_evaluation(other, bits(99, 100), bits(99, 100), images="b")
    assert not drops(run, "linf-8/255=0.5", other).passed
    assert drops(run, "clean=0.5", other).passed


def test_figures_of_images_that_the_run_has_seen_meet_no_condition_and_other_flags_are_told(run: RunFolder) -> None:
    seen = Flag(id="trained-on", message="3 were trained on", page="p")
    write_evaluation(run, bits(99, 100), bits(99, 100), minute=1, flags=[seen])
    for asked in ("clean=0.1", "linf-8/255=0.1"):
        failed = holds(run, asked)
        assert not failed.passed
        assert failed.why == "Figures of images that the run has seen meet no condition: 3 were trained on"
    early = Flag(id="unfinished", message="1 of 3 epochs are done", page="p")
    write_evaluation(run, bits(99, 100), bits(99, 100), minute=2, flags=[early])
    judgement = judge(run, [parse_condition("min", "clean=0.1")])
    assert judgement.outcomes[0].passed
    assert "carries the flag unfinished: 1 of 3 epochs are done" in judgement.notes[0]


def test_a_drop_on_the_same_images_is_paired_and_its_upper_end_decides(run: RunFolder, tmp_path: Path) -> None:
    before = write_run(tmp_path, "before")
    write_evaluation(before, bits(94, 100), bits(50, 100), minute=0)
    write_evaluation(before, bits(50, 100), bits(50, 100), minute=9, images="b")
    clean_high = newcombe_paired(90, 4, 0, 6)[1]
    assert drops(run, f"clean={clean_high + 1e-6}", before).passed
    failed = drops(run, f"clean={clean_high - 1e-6}", before)
    assert not failed.passed
    assert "fell by 4.0 points, from 94.0 % to 90.0 %" in failed.found
    assert "(paired, on the same images)" in failed.found
    assert "evaluate on more images" in failed.why
    robust_high = newcombe_paired(40, 10, 0, 50)[1]
    assert drops(run, f"linf-8/255={robust_high + 1e-6}", before).passed
    assert not drops(run, f"linf-8/255={robust_high - 1e-6}", before).passed
    better = write_run(tmp_path, "better")
    write_evaluation(better, bits(96, 100), bits(50, 100))
    assert drops(better, "clean=0.1", run).found.startswith("rose by 6.0 points, from 90.0 % to 96.0 %")


@pytest.mark.parametrize("why", ["other images", "no results of each image", "results are gone"])
def test_a_drop_that_cannot_be_paired_is_conservative(run: RunFolder, tmp_path: Path, why: str) -> None:
    before = write_run(tmp_path, "before")
    write_evaluation(
        before,
        bits(94, 100),
        bits(50, 100),
        images="b" if why == "other images" else "a",
        per_image=why != "no results of each image",
    )
    if why == "results are gone":
        next(before.evaluations.glob("*.npz")).unlink()
    high = clopper_pearson(94, 100, 0.975)[1] - clopper_pearson(90, 100, 0.975)[0]
    assert drops(run, f"clean={high + 1e-6}", before).passed
    failed = drops(run, f"clean={high - 1e-6}", before)
    assert not failed.passed
    assert "unpaired and so wide" in failed.found
    assert "evaluate both runs on the same images" in failed.why
    assert newcombe_paired(90, 4, 0, 6)[1] < high


def test_drops_of_corruptions_and_certificates_are_unpaired(run: RunFolder, tmp_path: Path) -> None:
    before = write_run(tmp_path, "before")
    write_evaluation(
        before, bits(9, 10), bits(1, 10), corruptions=corruptions(0.9), certification=certification({0.25: 0.6})
    )
    high = hoeffding_interval(0.9, 100, 0.975)[1] - hoeffding_interval(0.7, 100, 0.975)[0]
    assert drops(run, f"corruptions={high + 1e-6}", before).passed
    assert not drops(run, f"corruptions={high - 1e-6}", before).passed
    high = clopper_pearson(60, 100, 0.975)[1] - clopper_pearson(50, 100, 0.975)[0]
    assert drops(run, f"certified-0.25={high + 1e-6}", before).passed
    assert not drops(run, f"certified-0.25={high - 1e-6}", before).passed


def test_a_drop_under_other_attacks_is_noted(run: RunFolder, tmp_path: Path) -> None:
    before = write_run(tmp_path, "before")
    write_evaluation(before, bits(94, 100), bits(50, 100), attacks=[("fgsm", {}, 0.5)])
    judgement = judge(run, [parse_condition("max-drop", "linf-8/255=0.9")], before)
    (note,) = judgement.notes
    assert "not attacked alike, pgd (20 steps) against fgsm" in note
    assert judge(run, [parse_condition("max-drop", "clean=0.9")], before).notes == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clean", "--min takes MEASURE=SHARE, such as linf-8/255=0.40; got 'clean'"),
        ("=0.5", "--min takes MEASURE=SHARE"),
        ("clean=", "--min takes MEASURE=SHARE"),
        ("clean=80%", "--min clean=80%: '80%' is no share; write one in [0, 1], such as 0.80"),
        ("clean=80", "--min clean=80: a share lies in [0, 1]; got 80. Did you mean 0.8?"),
        ("clean=-0.1", "a share lies in [0, 1]; got -0.1."),
        (
            "cleen=0.8",
            "unknown measure 'cleen'. Known: clean, linf-EPS, l2-EPS, l1-EPS, mean-NORM-EPS, balanced, ",
        ),
        ("linf=0.8", "unknown measure 'linf'"),
        ("l3-0.5=0.8", "unknown measure 'l3-0.5'"),
        ("linf-x=0.8", "expected a number such as 8/255 or 0.03; got 'x'"),
        ("linf-8=0.8", "eps must lie in [0, 1] because images do; got 8. Did you mean 8/255?"),
        ("certified--1=0.8", "a certified radius is >= 0; got -1"),
        ("certified-=0.8", "expected a number such as 8/255 or 0.03; got ''"),
    ],
)
def test_conditions_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(HardenerError) as error:
        parse_condition("min", text)
    assert message in str(error.value)
    assert error.value.exit_code == 2


def test_a_bound_in_a_file_that_is_no_number_is_told_as_no_share(tmp_path: Path) -> None:
    file = tmp_path / "requirements.yaml"
    file.write_text("requirements: [{measure: clean, min: true}, {measure: clean, min: .nan}]")
    with pytest.raises(HardenerError) as error:
        conditions_in(file)
    for number, value in ((1, "True"), (2, "nan")):
        assert f"number {number}: min: {value}: '{value}' is no share; write one in [0, 1]" in str(error.value)


def test_conditions_that_do_not_go_together(run: RunFolder) -> None:
    with pytest.raises(HardenerError, match="nothing to hold the run to: give --min MEASURE=SHARE"):
        judge(run, [])
    with pytest.raises(HardenerError, match="--max-drop needs --against RUN"):
        judge(run, [parse_condition("max-drop", "clean=0.1")])
    with pytest.raises(HardenerError, match="--against is for --max-drop, and none was given"):
        judge(run, [parse_condition("min", "clean=0.1")], RunFolder(run.path.parent / "other"))
    with pytest.raises(HardenerError, match="--against names .* itself, below which it cannot fall"):
        judge(run, [parse_condition("max-drop", "clean=0.1")], RunFolder(run.path / ".." / run.path.name))


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (
            "linf-4/255",
            "no robust accuracy under linf 4/255. It was evaluated under linf 8/255. Run `{} --norm linf --eps 4/255`",
        ),
        (
            "l2-0.5",
            "has no robust accuracy under l2 0.5. It was evaluated under linf 8/255. Run `{} --norm l2 --eps 0.5`",
        ),
        (
            "mean-linf-8/255",
            "has no mean robust accuracy up to linf 8/255. Run `{} --norm linf --eps 8/255 --measure mean-accuracy`",
        ),
        ("certified-1", "has no accuracy certified to l2 1. It was certified to 0.25. Run `{} --certify --radius 1`"),
    ],
)
def test_a_figure_that_is_missing_comes_with_the_command_that_makes_it(
    run: RunFolder, measure: str, message: str
) -> None:
    with pytest.raises(HardenerError) as error:
        holds(run, f"{measure}=0.5")
    assert message.format(f"hardener eval {run.path}") in str(error.value)


def test_missing_evaluations(tmp_path: Path, run: RunFolder) -> None:
    fresh = write_run(tmp_path, "fresh")
    with pytest.raises(HardenerError, match="fresh has not been evaluated. Run `hardener eval"):
        holds(fresh, "clean=0.5")
    with pytest.raises(HardenerError, match="fresh has not been evaluated"):
        drops(run, "clean=0.5", fresh)
    write_evaluation(fresh, bits(9, 10), bits(1, 10))
    with pytest.raises(
        HardenerError, match=r"fresh has no mean accuracy under corruptions. Run `hardener eval \S+ --corr"
    ):
        holds(fresh, "corruptions=0.5")
    with pytest.raises(
        HardenerError, match=r"fresh has no accuracy certified to l2 1. Run `hardener eval \S+ --certify --radius 1`"
    ):
        holds(fresh, "certified-1=0.5")
    with pytest.raises(HardenerError, match="fresh has no mean accuracy under corruptions"):
        drops(run, "corruptions=0.5", fresh)


def test_junit_is_well_formed_and_counts(run: RunFolder, tmp_path: Path) -> None:
    write_evaluation(
        run, bits(99, 100), bits(99, 100), minute=1, verdict="inconclusive", reason='<&"\x1b[31m>', images="b"
    )
    conditions = [parse_condition("min", text) for text in ("clean=0.5", "linf-8/255=0.5", "clean=1")]
    write_junit(judge(run, conditions), tmp_path / "gate.xml")
    root = ElementTree.parse(tmp_path / "gate.xml").getroot()
    (suite,) = root.findall("testsuite")
    assert (root.tag, suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("testsuites", "3", "2", "0")
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == ["min clean=0.5", "min linf-8/255=0.5", "min clean=1"]
    assert [len(case.findall("failure")) for case in cases] == [0, 1, 1]
    failure = cases[1].find("failure")
    assert failure is not None
    assert '<&"\ufffd[31m>' in (failure.text or "")
    assert "needed: a lower end of at least 50.0 %" in failure.get("message", "")
    assert all(case.get("classname") == str(run.path) for case in cases)


def test_the_summary_is_a_table_of_github(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    write_evaluation(
        run, bits(99, 100), bits(99, 100), minute=1, verdict="inconclusive", reason="a | b <b>", images="b"
    )
    judgement = judge(run, [parse_condition("min", "clean=0.5"), parse_condition("min", "linf-8/255=0.5")])
    write_summary(judgement, tmp_path / "s.md")
    lines = (tmp_path / "s.md").read_text().splitlines()
    assert lines[0] == "### hardener gate: 1 of 2 conditions failed"
    table = [line for line in lines if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") == 5 for line in table)
    assert table[2].startswith("| holds | `min clean=0.5` | clean accuracy: 99.0 %, 95 % interval")
    assert "**failed**" in table[3]
    assert "a \\| b &lt;b>" in table[3]
    passing = judge(run, [parse_condition("min", "clean=0.5")])
    write_summary(passing, tmp_path / "s.md")
    assert (tmp_path / "s.md").read_text().splitlines()[0] == "### hardener gate: all conditions hold", "written anew"


def test_only_the_jobs_own_summary_is_added_to(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = tmp_path / "job.md"
    job.write_text("what was there\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(job))
    judgement = judge(run, [parse_condition("min", "clean=0.5")])
    write_summary(judgement, tmp_path / "other.md")
    assert job.read_text() == "what was there\n"
    write_summary(judgement, job)
    assert job.read_text().startswith("what was there\n### hardener gate: all conditions hold\n")


def test_figures_of_other_data_do_not_count_where_the_runs_own_images_were_evaluated(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run")
    write_evaluation(run, bits(50, 100), bits(10, 100), own=True)
    write_evaluation(run, bits(99, 100), bits(98, 100), minute=5, own=False, root="/x/easy", images="b")
    for measure, share in (("clean", "50.0 %"), ("linf-8/255", "10.0 %")):
        judged = judge(run, [parse_condition("min", f"{measure}=0.9")])
        assert judged.failed[0].found.startswith(share)
        (note,) = (note for note in judged.notes if "/x/easy" in note)
        assert "the figure of the images that the run held out counts, and not the 9" in note


def test_figures_of_other_data_alone_count_and_are_named_wherever_the_outcome_stands(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run")
    write_evaluation(run, bits(99, 100), bits(98, 100), own=False, root="/x/easy")
    conditions = [parse_condition("min", "clean=0.9"), parse_condition("min", "linf-8/255=0.9")]
    judgement = judge(run, conditions)
    assert not judgement.failed
    write_junit(judgement, tmp_path / "gate.xml")
    write_summary(judgement, tmp_path / "gate.md")
    named = "n = 100, on the test split of /x/easy, which the run did not hold out"
    for told in ((tmp_path / "gate.xml").read_text(), (tmp_path / "gate.md").read_text()):
        assert told.count(named) == 2
    assert all(named in outcome.line for outcome in judgement.outcomes)


def test_a_record_that_does_not_say_whose_its_images_are_is_named_by_its_folder(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run")
    write_evaluation(run, bits(99, 100), bits(98, 100), root="field", split="all")
    assert holds(run, "clean=0.9").found.endswith("n = 100, on the images of field")
    write_evaluation(run, bits(60, 100), bits(50, 100), own=True)
    assert holds(run, "clean=0.1").found.endswith("n = 100")
    assert holds(run, "linf-8/255=0.1").found.startswith("50.0 %")


def test_runs_that_hold_out_other_images_are_compared_on_data_that_both_were_evaluated_on(tmp_path: Path) -> None:
    run, before = write_run(tmp_path, "run"), write_run(tmp_path, "before")
    for one, right, images in ((run, 60, "a"), (before, 70, "b")):
        write_evaluation(one, bits(90, 100), bits(40, 100), own=True, images=images)
        write_evaluation(one, bits(90, 100), bits(right, 100), minute=1, own=False, root="/x/field", images="f")
    found = drops(run, "linf-8/255=0.5", before).found
    assert found.startswith("fell by 10.0 points, from 70.0 % to 60.0 %")
    assert "paired, on the same images" in found
    assert found.endswith(", on the test split of /x/field, which the run did not hold out")
