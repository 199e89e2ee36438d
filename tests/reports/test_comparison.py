from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from run_folders import Attacks, bits, certification, corruptions, curve, write_evaluation, write_run
from scipy.stats import binomtest

from hardener.config.evaluation_record import Balanced, Flag
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.reports.beyond import mean_invariance
from hardener.reports.comparison import compare
from hardener.reports.comparison_page import draw_radar, remarks, table_blocks, write_comparison
from hardener.reports.comparison_record import Comparison
from hardener.reports.shared import current_evaluations
from hardener.statistics.paired import newcombe_paired


@pytest.fixture
def pair(tmp_path: Path) -> tuple[RunFolder, RunFolder]:
    """Two runs that were not evaluated yet."""
    return write_run(tmp_path, "natural", seconds=50), write_run(tmp_path, "sprout", recipe="sprout", seconds=200)


def cells(comparison: Comparison, label: str) -> list[list[str]]:
    return [row.cells for section in table_blocks(comparison) for row in section.rows if row.label == label]


def test_differences_are_image_by_image(pair: tuple[RunFolder, RunFolder]) -> None:
    one, other = pair
    write_evaluation(one, bits(80, 100), bits(10, 100))
    write_evaluation(other, bits(80, 100, first=10), bits(40, 100, first=5))
    comparison = compare(pair)
    (threat,) = comparison.threats
    first, second = threat.results
    assert first.clean_difference is None
    assert first.robust_difference is None
    assert second.clean_difference is not None
    assert second.robust_difference is not None
    clean, robust = second.clean_difference, second.robust_difference
    assert (clean.both, clean.only_first, clean.only_second, clean.neither) == (70, 10, 10, 10)
    assert (clean.difference, clean.p_value) == (0, 1)
    assert (robust.both, robust.only_first, robust.only_second, robust.neither) == (5, 5, 35, 55)
    assert robust.difference == pytest.approx(0.3)
    assert robust.interval == newcombe_paired(5, 35, 5, 55)
    assert robust.p_value == pytest.approx(binomtest(5, 40).pvalue)
    low, high = (f"{100 * end:+.1f}" for end in robust.interval)
    assert cells(comparison, "minus natural")[1] == ["–", f"+30.0\n({low} to {high})\np < 0.001\n35 : 5 images"]
    assert cells(comparison, "robust accuracy")[0][1].startswith("40.0 %\n(")
    assert comparison.notes == []


def test_of_each_run_the_newest_on_shared_images_counts(pair: tuple[RunFolder, RunFolder]) -> None:
    one, other = pair
    for run in pair:
        write_evaluation(run, bits(50, 60), bits(5, 60), minute=1)
        write_evaluation(run, bits(50, 60), bits(6, 60), minute=2)
    write_evaluation(one, bits(50, 60), bits(1, 60), minute=3, images="other")
    write_evaluation(other, bits(50, 60), bits(2, 60), minute=4, images="another")
    (threat,) = compare(pair).threats
    assert [result.robust_accuracy for result in threat.results] == [0.1, 0.1]
    assert threat.fingerprint == "a-60"


def test_every_shared_threat_model_is_shown_the_wider_first(pair: tuple[RunFolder, RunFolder]) -> None:
    for run in pair:
        for minute, (norm, eps) in enumerate([("l2", 0.5), ("linf", 2 / 255), ("linf", 8 / 255)]):
            write_evaluation(run, bits(9, 10), bits(3, 10), minute=minute, norm=norm, eps=eps + 1e-9)
    write_evaluation(pair[0], bits(9, 10), bits(3, 10), minute=9, norm="l2", eps=1.0)
    comparison = compare(pair)
    assert [section.title for section in table_blocks(comparison)] == [
        "linf 8/255, n = 10",
        "linf 2/255, n = 10",
        "l2 0.5, n = 10",
        "cost",
    ]
    assert len(cells(comparison, "clean accuracy")) == 1, "said once, as the images are the same"


def test_attacks_in_common_and_what_they_left(pair: tuple[RunFolder, RunFolder]) -> None:
    one, other = pair
    attacks: Attacks = [
        ("fgsm", {}, 0.6),
        ("pgd", {"loss": "ce", "steps": 20, "restarts": 1}, 0.5),
        ("cw", {"steps": 9}, 0.3),
    ]
    write_evaluation(one, bits(9, 10), bits(3, 10), attacks=attacks)
    write_evaluation(other, bits(9, 10), bits(3, 10), attacks=attacks)
    (threat,) = compare(pair).threats
    assert [(a.label, a.accuracies, a.alike) for a in threat.attacks] == [
        ("fgsm", [0.6, 0.6], True),
        ("pgd (ce, 20 steps)", [0.5, 0.5], True),
        ("cw (9 steps)", [0.3, 0.3], True),
    ]
    assert threat.cw == [0.3, 0.3]


def test_attacks_that_differ_are_named_and_marked(pair: tuple[RunFolder, RunFolder]) -> None:
    one, other = pair
    write_evaluation(one, bits(9, 10), bits(3, 10), attacks=[("pgd", {"steps": 20, "restarts": 5}, 0.3)])
    write_evaluation(
        other, bits(9, 10), bits(3, 10), attacks=[("fgsm", {}, 0.8), ("pgd", {"steps": 20, "restarts": 5}, 0.3)]
    )
    comparison = compare(pair)
    (attack,) = comparison.threats[0].attacks
    assert (attack.label, attack.alike) == ("pgd (20 steps, 5 restarts)", False)
    assert cells(comparison, "left after pgd (20 steps, 5 restarts) *") == [["30.0 %", "30.0 %"]]
    assert "* ran with other settings" in remarks(comparison)[-1]
    (note,) = comparison.notes
    assert "linf 8/255: the runs were not attacked alike" in note
    assert "natural: pgd (20 steps, 5 restarts); sprout: fgsm, pgd" in note


def test_of_two_versions_of_a_suite_the_older_evaluation_is_to_be_made_anew(tmp_path: Path) -> None:
    old, new = write_run(tmp_path, "old"), write_run(tmp_path, "new")
    more = [("pgd", {"steps": 20, "restarts": 9}, 0.3)]
    less = [("pgd", {"steps": 20, "restarts": 1}, 0.3)]
    write_evaluation(old, bits(9, 10), bits(3, 10), suite="fast", attacks=more, minute=1)
    write_evaluation(new, bits(9, 10), bits(3, 10), suite="fast", attacks=less, minute=2)
    (note,) = [note for note in compare([old, new]).notes if "not attacked alike" in note]
    assert f"run `hardener eval {old.path}" in note
    assert str(new.path) not in note.split("To attack all alike")[1]


def test_a_copy_is_no_other_attack_and_a_coarser_gradient_is_named(pair: tuple[RunFolder, RunFolder]) -> None:
    one, other = pair
    write_evaluation(one, bits(9, 10), bits(3, 10), attacks=[("square", {"queries": 9}, 0.3)])
    write_evaluation(other, bits(9, 10), bits(3, 10), attacks=[("square", {"queries": 9, "asked": "a copy"}, 0.3)])
    assert compare(pair).notes == []
    write_evaluation(one, bits(9, 10), bits(3, 10), attacks=[("pgd", {"steps": 20, "bf16": False}, 0.3)])
    write_evaluation(other, bits(9, 10), bits(3, 10), attacks=[("pgd", {"steps": 20, "bf16": True}, 0.3)])
    (note,) = compare(pair).notes
    assert "natural: pgd (20 steps); sprout: pgd (20 steps) in bfloat16" in note


def test_what_the_audit_broke_does_not_make_the_attacks_differ(pair: tuple[RunFolder, RunFolder]) -> None:
    one, other = pair
    write_evaluation(one, bits(9, 10), bits(3, 10), attacks=[("pgd", {"steps": 20}, 0.4), ("audit", {}, 0.3)])
    write_evaluation(other, bits(9, 10), bits(3, 10), attacks=[("pgd", {"steps": 20}, 0.3)])
    comparison = compare(pair)
    assert comparison.notes == []
    assert [(attack.label, attack.alike) for attack in comparison.threats[0].attacks] == [("pgd (20 steps)", True)]
    fresh = write_run(one.path.parent, "fresh")
    with pytest.raises(HardenerError, match=r"Run `hardener eval \S*fresh --attack pgd --norm"):
        compare([other, fresh])


def test_sections_of_some_images_are_compared_only_where_one_seed_drew_them(
    pair: tuple[RunFolder, RunFolder],
) -> None:
    for seed, run in enumerate(pair):
        write_evaluation(run, bits(90, 100), bits(3, 100), seed=seed, corruptions=corruptions(0.5, samples=50))
    assert cells(compare(pair), "corruption")[0].count("–") == 1
    for seed, run in enumerate(pair):
        write_evaluation(run, bits(90, 100), bits(3, 100), minute=1, seed=seed, corruptions=corruptions(0.5))
    assert cells(compare(pair), "corruption") == [["50.0 %", "50.0 %"]], "of all images, whatever the seed"


def test_beyond_attacks(pair: tuple[RunFolder, RunFolder]) -> None:
    curves = [curve("rotation", [0.4, 0.8, 0.6], identity=1), curve("gray", [0.9, 0.7])]
    for run, accuracies in zip(pair, ((0.5, 0.7), (0.3, 0.4)), strict=True):
        write_evaluation(
            run, bits(9, 10), bits(3, 10), invariances=curves, corruptions=corruptions(*accuracies),
            certification=certification({0.25: 0.5, 0.5: 0.2}),
        )  # fmt: skip
        write_evaluation(run, bits(9, 10), bits(3, 10), minute=1)  # without them: the older one still says it
    comparison = compare(pair)
    assert comparison.invariance is not None
    assert comparison.invariance.values == pytest.approx([((0.4 + 0.6) / 2 + 0.7) / 2] * 2)
    assert comparison.corruption is not None
    assert comparison.corruption.values == pytest.approx([0.6, 0.35])
    assert [(item.label, item.values) for item in comparison.certified] == [
        ("certified, l2 0.25", [0.5, 0.5]),
        ("certified, l2 0.5", [0.2, 0.2]),
    ]
    assert [axis.label.partition("\n")[0] for axis in comparison.radar] == [
        "clean", "worst case", "invariance", "corruption", "training cost",
    ]  # fmt: skip
    assert any("rotation, gray; n = 100" in said for said in remarks(comparison))


def test_what_was_measured_otherwise_is_not_compared(pair: tuple[RunFolder, RunFolder]) -> None:
    one, other = pair
    write_evaluation(one, bits(9, 10), bits(3, 10), invariances=[curve("gray", [0.9, 0.7])])
    write_evaluation(
        other, bits(9, 10), bits(3, 10), minute=1, invariances=[curve("gray", [0.9, 0.6, 0.5])],
        certification=certification({0.25: 0.5}),
    )  # fmt: skip
    comparison = compare(pair)
    assert comparison.invariance is not None
    assert comparison.invariance.values == [None, 0.55], "of two kinds that one run each has, the newest"
    assert cells(comparison, "invariance") == [["–", "55.0 %"]]
    assert comparison.certified[0].values == [None, 0.5]
    assert comparison.corruption is None


def test_the_mean_of_curves_leaves_the_unchanged_image_out() -> None:
    assert mean_invariance([curve("a", [1.0, 0.5, 0.3]), curve("b", [1.0, 0.6])]) == pytest.approx(0.5)
    assert mean_invariance([]) == 0


def test_training_cost_is_relative_to_the_cheapest(pair: tuple[RunFolder, RunFolder], tmp_path: Path) -> None:
    unknown = write_run(tmp_path, "imported", seconds=0)
    for run in (*pair, unknown):
        write_evaluation(run, bits(9, 10), bits(3, 10))
    comparison = compare([*pair, unknown])
    assert comparison.radar[-1].values == [1.0, 0.25, None]
    assert cells(comparison, "training") == [["50 s", "200 s", "unknown"]]
    assert cells(comparison, "recipe") == [["natural", "sprout", "natural"]]
    assert "one small p value is likelier to be chance" in comparison.notes[-1]


def test_notes_say_what_makes_a_comparison_unfair(tmp_path: Path) -> None:
    one = write_run(tmp_path, "one", seed=0, hardware={"gpu": "NVIDIA H100"})
    other = write_run(tmp_path, "other", seed=1)
    write_evaluation(one, bits(9, 10), bits(3, 10), per_image=False)
    write_evaluation(
        other, bits(9, 10), bits(3, 10), verdict="inconclusive", reason="gradients are zero",
        flags=[Flag(id="zero-gradients", message="", page="")],
    )  # fmt: skip
    comparison = compare([one, other])
    assert comparison.notes == [
        "linf 8/255: no paired difference for one, which needs the results of each image: the evaluation has none.",
        "linf 8/255: other is inconclusive, so its robust accuracy may be too high: gradients are zero",
        "training seconds are not of one device: NVIDIA H100, cpu, 2 threads",
        "the runs were not trained on the same images: an image evaluated here may have been trained on by one",
    ]
    assert cells(comparison, "minus one") == [["–", "–"], ["–", "–"]]
    assert cells(comparison, "flags") == [["none", "zero-gradients"]]


def test_lost_results_of_images_are_said(pair: tuple[RunFolder, RunFolder]) -> None:
    for run in pair:
        write_evaluation(run, bits(9, 10), bits(3, 10))
    next(pair[1].evaluations.glob("*.npz")).unlink()
    comparison = compare(pair)
    assert comparison.threats[0].results[1].clean_difference is None
    assert ".npz is gone" in comparison.notes[0]


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / place, "run") for place in ("a", "b")]
    for run in runs:
        write_evaluation(run, bits(9, 10), bits(3, 10))
    assert [run.name for run in compare(runs).runs] == [str(tmp_path / "a" / "run"), str(tmp_path / "b" / "run")]


def test_evaluations_of_other_weights_do_not_count(pair: tuple[RunFolder, RunFolder]) -> None:
    run = pair[0]
    write_evaluation(run, bits(9, 10), bits(3, 10), minute=0)
    run.weights.write_bytes(b"trained on")
    with pytest.raises(
        HardenerError, match=r"evaluations of .*natural are of other weights than .* Run `hardener eval"
    ):
        current_evaluations(run)
    write_evaluation(run, bits(9, 10), bits(4, 10), minute=1)
    assert [item.robust_accuracy for item in current_evaluations(run)] == [0.4]


def test_too_few_runs_and_one_twice(pair: tuple[RunFolder, RunFolder]) -> None:
    with pytest.raises(HardenerError, match="name two runs or more: hardener compare RUN RUN"):
        compare(pair[:1])
    with pytest.raises(HardenerError, match="natural is named twice"):
        compare([pair[0], RunFolder(pair[0].path / ".." / "natural")])


def test_a_run_that_was_not_evaluated_gets_the_command_of_the_other(pair: tuple[RunFolder, RunFolder]) -> None:
    with pytest.raises(HardenerError, match=r"natural has not been evaluated. Run `hardener eval \S*natural`"):
        compare(pair)
    attacks: Attacks = [("fgsm", {}, 0.6), ("pgd", {"steps": 20}, 0.5)]
    write_evaluation(pair[1], bits(9, 10), bits(3, 10), seed=4, attacks=attacks)
    command = "--attack fgsm --attack pgd --norm linf --eps 8/255 --steps 20 --samples 10 --seed 4"
    with pytest.raises(
        HardenerError, match=rf"natural has not been evaluated. Run `hardener eval \S*natural {command}`"
    ):
        compare(pair)


def test_no_threat_model_in_common(pair: tuple[RunFolder, RunFolder]) -> None:
    write_evaluation(pair[0], bits(9, 10), bits(3, 10), suite="standard")
    write_evaluation(pair[1], bits(9, 10), bits(3, 10), norm="l2", eps=0.5)
    with pytest.raises(HardenerError) as error:
        compare(pair)
    assert "no threat model under which all runs were evaluated (natural: linf 8/255; sprout: l2 0.5)" in str(
        error.value
    )
    assert re.search(r"eval \S*sprout --suite standard --norm linf --eps 8/255 --samples 10", str(error.value))


def test_other_images_are_an_error_that_says_what_differs(pair: tuple[RunFolder, RunFolder]) -> None:
    write_evaluation(pair[0], bits(90, 100), bits(3, 100), seed=0)
    write_evaluation(pair[1], bits(9, 10), bits(3, 10), seed=7, images="b", split="validation")
    with pytest.raises(HardenerError) as error:
        compare(pair)
    said = str(error.value)
    assert "under linf 8/255, natural and sprout were not evaluated on the same images" in said
    assert "split (test and validation); number of images (100 and 10); seed of their choice (0 and 7)" in said
    assert re.search(
        r"Run `hardener eval \S*sprout --attack pgd --norm linf --eps 8/255 --steps 20 --samples 100 --seed 0`", said
    )
    assert "--data DIR" not in said


def test_splits_drawn_by_other_seeds_need_a_folder_that_none_was_trained_on(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, "one", seed=0), write_run(tmp_path, "other", seed=1, root="elsewhere")]
    write_evaluation(runs[0], bits(9, 10), bits(3, 10))
    write_evaluation(runs[1], bits(9, 10), bits(3, 10), images="b", root="elsewhere")
    with pytest.raises(HardenerError) as error:
        compare(runs)
    said = str(error.value)
    assert "folder (imgs and elsewhere)" in said
    assert "seed of training, which may have split the folder (0 and 1)" in said
    assert "eval" in said
    assert "--data imgs" in said
    assert "Or evaluate all on a folder that none was trained on, with --data DIR" in said


def test_changed_contents_and_images_shared_by_some(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, name) for name in ("one", "two", "three")]
    write_evaluation(runs[0], bits(9, 10), bits(3, 10), images="a")
    write_evaluation(runs[1], bits(9, 10), bits(3, 10), images="b")
    with pytest.raises(HardenerError, match="they differ in: contents of the images"):
        compare(runs[:2])
    write_evaluation(runs[0], bits(9, 10), bits(3, 10), images="b", minute=1)
    write_evaluation(runs[2], bits(9, 10), bits(3, 10), images="a")
    with pytest.raises(HardenerError, match="were not evaluated on the same images"):
        compare(runs)


def test_a_threat_model_on_other_images_is_left_out_and_said(pair: tuple[RunFolder, RunFolder]) -> None:
    for run, images in zip(pair, ("x", "y"), strict=True):
        write_evaluation(run, bits(9, 10), bits(3, 10))
        write_evaluation(run, bits(9, 10), bits(3, 10), minute=1, norm="l2", eps=0.5, images=images)
    comparison = compare(pair)
    assert [(item.norm, item.samples) for item in comparison.threats] == [("linf", 10)]
    assert comparison.notes[0].startswith("l2 0.5 is left out: natural and sprout were not evaluated on the same")


def test_the_page_is_self_contained_and_safe(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, name) for name in ("<b>bold</b>".replace("/", "|"), "plain")]
    for run in runs:
        write_evaluation(
            run, bits(9, 10), bits(3, 10), reason="<script>alert(1)</script>", verdict="inconclusive",
            invariances=[curve("gray", [0.9, 0.7])] if run is runs[0] else [],
        )  # fmt: skip
    comparison = compare(runs)
    picture, page = write_comparison(comparison, tmp_path / "deep" / "out")
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert "<script" not in text
    assert "<b>bold" not in text
    assert "http" not in text
    assert text.count("data:image/png;base64,") == 2, "one for light and one for dark"
    for section in table_blocks(comparison):
        assert section.title in text
    assert "90.0 %" in text
    assert sorted(path.name for path in page.parent.iterdir()) == ["compare.html", "compare.png"]


def test_the_chart_takes_many_runs_and_gaps(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, f"{place}-{'name' * 12}") for place in range(10)]
    for place, run in enumerate(runs):
        write_evaluation(run, bits(9, 10), bits(3, 10), corruptions=corruptions(0.5) if place % 2 else None)
    assert draw_radar(compare(runs), dark=True).startswith(b"\x89PNG")


def test_a_file_in_the_place_of_the_folder(pair: tuple[RunFolder, RunFolder], tmp_path: Path) -> None:
    for run in pair:
        write_evaluation(run, bits(9, 10), bits(3, 10))
    (tmp_path / "out").write_text("")
    with pytest.raises(HardenerError, match="out is a file; --to takes a folder"):
        write_comparison(compare(pair), tmp_path / "out")


def test_the_comparison_survives_its_json(pair: tuple[RunFolder, RunFolder]) -> None:
    for run in pair:
        write_evaluation(run, bits(9, 10), bits(3, 10), certification=certification({0.25: 0.5}))
    comparison = compare(pair)
    text = json.dumps(comparison.model_dump(by_alias=True))
    assert Comparison.model_validate_json(text) == comparison
    assert json.loads(text)["schema"] == "hardener/compare/1"


def test_balanced_accuracies_stand_beside_the_others_where_classes_are_uneven(
    pair: tuple[RunFolder, RunFolder],
) -> None:
    for run in pair:
        write_evaluation(run, bits(1, 2), bits(1, 2))
    assert "balanced" not in str(table_blocks(compare(pair)))
    for place, run in enumerate(pair):
        write_evaluation(
            run, bits(1, 2), bits(1, 2), minute=9, images="c",
            balanced=Balanced(classes=2, clean_accuracy=0.75, robust_accuracy=0.25 + place / 4),
        )  # fmt: skip
    assert cells(compare(pair), "clean, balanced") == [["75.0 %", "75.0 %"]]
    assert cells(compare(pair), "robust, balanced") == [["25.0 %", "50.0 %"]]


def test_other_data_is_named_and_comes_after_the_images_that_the_runs_held_out(
    pair: tuple[RunFolder, RunFolder], tmp_path: Path
) -> None:
    for run in pair:
        write_evaluation(
            run, bits(9, 10), bits(9, 10), minute=8, own=False, root="/x/easy", images="e",
            corruptions=corruptions(0.9, samples=10),
        )  # fmt: skip
        write_evaluation(run, bits(9, 10), bits(2, 10), minute=7, own=True, images="o")
    comparison = compare(pair)
    (threat,) = comparison.threats
    assert (threat.images, threat.results[0].robust_accuracy) == ("the test split", 0.2)
    assert "linf 8/255: all runs were evaluated on other data, too, /x/easy, which is not shown" in comparison.notes
    assert comparison.corruption is not None
    assert comparison.corruption.detail.endswith("n = 10, images of /x/easy")
    for run in pair:
        (run.evaluations / "20260102T000700-000000.json").unlink()
    comparison = compare(pair)
    assert comparison.threats[0].images == "the test split of /x/easy"
    assert table_blocks(comparison)[0].title == "linf 8/255, n = 10, the test split of /x/easy"
    _, page = write_comparison(comparison, tmp_path / "page")
    assert "10 images of the test split of /x/easy, the same for every run" in page.read_text()
