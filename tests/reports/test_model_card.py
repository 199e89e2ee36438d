from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from run_folders import bits, certification, corruptions, curve, write_evaluation, write_run
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.bundle import Bundle, InputSpec, ModelFile, OfflineRobustness, Parity, sha256_of
from hardener.config.evaluation_record import Balanced, Evaluation, Flag, PerClass
from hardener.config.run_folder import RunFolder
from hardener.exporters.run import offline
from hardener.reports.model_card import model_card


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """One that was trained with sprout."""
    return write_run(tmp_path, "run", recipe="sprout", seed=3)


def bundle_of(run: RunFolder, evaluations: list[Evaluation], **changed: Any) -> Bundle:
    carried: list[OfflineRobustness] = [offline(evaluation) for evaluation in evaluations]
    fields: dict[str, Any] = {
        "name": "run",
        "created_at": "2026-03-04T05:06:07+00:00",
        "hardener_version": "1.2.3",
        "recipe": "sprout",
        "fingerprint": sha256_of(run.weights),
        "model": ModelFile(file="model.onnx", sha256="0" * 64, bytes=1, opset=20),
        "input": InputSpec(height=8, width=8, channels=1, resize="cover-1"),
        "classes": ["cat", "dog"],
        "noise_sigma": 0.1,
        "parity": Parity(images=9, largest_logit_difference=1e-6, tolerance=1e-4, argmax_agreement=1.0),
        "evaluation": carried[-1] if carried else None,
        "evaluations": carried,
    }
    return Bundle(**(fields | changed))


def card_of(run: RunFolder, *evaluations: Evaluation, **changed: Any) -> str:
    items = list(evaluations)
    return model_card(bundle_of(run, items, **changed), run.read_record(), recipe=run.read_recipe(), evaluations=items)


def test_it_says_how_robust_the_model_is_and_how_that_is_known(run: RunFolder) -> None:
    found = write_evaluation(
        run, bits(90, 100), bits(40, 100),
        attacks=[("pgd", {"loss": "ce", "steps": 20, "restarts": 1}, 0.45), ("audit", {}, 0.4)],
        verdict="partly robust", reason="The worst case leaves 40.0 % right.",
        not_run=["AutoAttack's standard suite", "transfer attacks"],
        flags=[Flag(id="not-converged", message="more steps break more", page="docs/flags.md#not-converged")],
    )  # fmt: skip
    card = card_of(run, found)
    assert "**linf 8/255, test split: partly robust.** The worst case leaves 40.0 % right." in card
    (clean_low, clean_high), (low, high) = found.clean_interval, found.interval
    assert (
        f"| linf 8/255 | test | 100 | 90.0 % ({100 * clean_low:.1f} – {100 * clean_high:.1f}) "
        f"| 40.0 % ({100 * low:.1f} – {100 * high:.1f}) | pgd, the audit's own attacks |"
    ) in card
    assert "It is an upper bound: an attack that was not run may break more images." in card
    assert "- linf 8/255, `not-converged`: more steps break more (docs/flags.md#not-converged)" in card
    assert "| linf 8/255 | pgd | 20 steps up the cross-entropy | 100 | 0 | 45.0 % |" in card
    assert "- Not run under linf 8/255: AutoAttack's standard suite, transfer attacks." in card
    assert "Not measured: invariances (`--invariance`), common corruptions (`--corruptions`), certified" in card


def test_it_leaves_the_intended_use_to_the_owner(run: RunFolder) -> None:
    card = card_of(run, write_evaluation(run, bits(9, 10), bits(4, 10)), classes=["cat", "a`b"])
    assert "**To be written by the owner**" in card
    assert "one of 2 classes, also an image of something else: `cat`, `` a`b ``." in card


def test_it_says_how_the_model_was_trained(run: RunFolder) -> None:
    card = card_of(run, write_evaluation(run, bits(9, 10), bits(4, 10)))
    for fact in (
        "Network: `net`, 700,000 parameters, trained from random weights.",
        "Data: 900 training and 900 validation images",
        "Training: 3 epochs, seed 3, cpu, float32, 100 s.",
        "Recipe `sprout`: method vicinity-risk, batches of 128, Gaussian noise 0.1, mixup 0.2, "
        "label law budget (smoothing 0.2), sgd with learning rate 0.05, cosine.",
        "those of epoch 3, chosen on the validation split alone (clean 90.0 %, quick attack 10.0 %)",
        f"Fingerprint of the weights: `{sha256_of(run.weights)}`.",
    ):
        assert fact in card


def test_of_several_evaluations_it_shows_the_lowest_of_each_threat_model_and_split(run: RunFolder) -> None:
    strong = write_evaluation(run, bits(9, 10), bits(1, 10), minute=0, attacks=[("pgd", {}, 0.1)])
    weak = write_evaluation(run, bits(9, 10), bits(5, 10), minute=1, attacks=[("fgsm", {}, 0.5)])
    wide = write_evaluation(run, bits(9, 10), bits(0, 10), minute=2, eps=16 / 255)
    round_ball = write_evaluation(run, bits(9, 10), bits(2, 10), minute=3, norm="l2", eps=0.5, split="validation")
    card = card_of(run, strong, weak, wide, round_ball)
    rows = [line for line in card.splitlines() if re.match(r"\| (linf|l2) \S+ \| (test|validation)", line)]
    assert [row.split(" | ")[0] for row in rows] == ["| linf 16/255", "| linf 8/255", "| l2 0.5"]
    assert "10.0 %" in rows[1]
    assert "fgsm" not in card
    assert "Of 4 evaluations, the lowest robust accuracy for each threat model and split is shown." in card
    assert "Figures of the validation split are a little high" in card


def test_evaluations_of_other_weights_are_left_out(run: RunFolder) -> None:
    old = write_evaluation(run, bits(10, 10), bits(10, 10), minute=0, corruptions=corruptions(0.99))
    run.weights.write_bytes(b"trained on")
    new = write_evaluation(run, bits(9, 10), bits(1, 10), minute=1)
    card = card_of(run, old, new)
    assert "Evaluations of other weights, left out: 1." in card
    assert "100.0 %" not in card.partition("## What it takes")[0]
    assert "99.0 %" not in card
    assert "nothing is known of its robustness." in card_of(run, old)
    assert "Evaluations of other weights, left out: 1." in card_of(run, old)


def test_figures_beyond_attacks_stand_with_their_number_of_images(run: RunFolder) -> None:
    found = write_evaluation(
        run, bits(9, 10), bits(4, 10),
        invariances=[curve("rotation", [0.9, 0.7, 0.5], samples=10)],
        corruptions=corruptions(0.6, 0.8, samples=10),
        certification=certification({0.25: 0.5}, samples=10),
    )  # fmt: skip
    later = write_evaluation(run, bits(9, 10), bits(4, 10), minute=1, verdict="inconclusive")
    card = card_of(run, found, later)
    point = found.invariances[0].points[-1]
    low, high = (f"{100 * end:.1f}" for end in point.interval)
    assert f"| rotation, 1 to 2 | mean 60.0 %, lowest 50.0 % ({low} – {high}) at 2 | 10 |" in card
    assert "| 2 common corruptions | mean 70.0 %, lowest 60.0 % for noise-0 | 10 |" in card
    assert f"| right and certified to l2 0.25, smoothed with noise 0.25 | 50.0 % ({low} – {high}) | 10 |" in card
    assert "A certificate is of the smoothed classifier" in card
    assert "Not measured" not in card


def test_inconclusive_and_skipped_stand_among_the_limits(run: RunFolder) -> None:
    found = write_evaluation(run, bits(9, 10), bits(4, 10), verdict="inconclusive", reason="gradients are zero")
    found.data.skipped = 2
    card = card_of(run, found)
    assert "test split: inconclusive.** gradients are zero" in card
    assert "- A figure whose verdict is inconclusive proves nothing: the true one may be far lower." in card
    assert "- 2 images could not be read and were left out of an evaluation." in card
    assert "The audit raised no flag." in card


def test_its_tables_and_text_survive_what_others_wrote(run: RunFolder) -> None:
    found = write_evaluation(
        run, bits(9, 10), bits(4, 10), reason="<img src=x>\n# heading", attacks=[("pgd", {"loss": "a|b"}, 0.4)]
    )
    card = card_of(run, found)
    assert "<img" not in card
    assert "\n# heading" not in card
    assert "up a\\|b" in card
    tables = re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE)
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1


def test_its_commands_are_ones_that_hardener_takes_and_name_no_folder_of_this_machine(
    run: RunFolder, tmp_path: Path
) -> None:
    found = write_evaluation(
        run, bits(9, 10), bits(4, 10), root=str(tmp_path / "imgs"), seed=5,
        attacks=[("fgsm", {"restarts": 1}, 0.5), ("pgd", {"steps": 20, "restarts": 3}, 0.4)],
    )  # fmt: skip
    record = run.read_record()
    record.model.entry, record.model.init, record.model.replaced_head = "Net", str(tmp_path / "w.safetensors"), "fc"
    run.write_record(record)
    card = card_of(run, found)
    commands = re.findall(r"^    (hardener .*)$", card, re.MULTILINE)
    assert commands == [
        "hardener train net.py --data DIR --entry Net --init w.safetensors --replace-head --recipe recipe.yaml "
        "--seed 3 --name run",
        "hardener eval run --data DIR --attack fgsm --attack pgd --norm linf --eps 8/255 --steps 20 "
        "--restarts 3 --samples 10 --seed 5",
    ]
    for command in commands:
        assert CliRunner().invoke(app, [*shlex.split(command)[1:], "--help"]).exit_code == 0
    assert str(tmp_path) not in card
    suite = write_evaluation(run, bits(9, 10), bits(4, 10), minute=1, suite="standard", norm="l2", eps=0.5)
    assert "hardener eval run --data DIR --suite standard --norm l2 --eps 0.5" in card_of(run, suite)


def test_a_linear_layer_behind_features_is_told(run: RunFolder) -> None:
    record = run.read_record()
    record.model.replaced_head = "fc"
    run.write_record(record)
    assert "a linear layer stands behind" not in card_of(run)
    record.model.replaced_head = "head_behind_features"
    run.write_record(record)
    assert "a linear layer stands behind" in card_of(run)


def test_an_unevaluated_model_gets_a_card_that_says_so(run: RunFolder) -> None:
    card = card_of(run)
    assert "nothing is known of its robustness" in card
    assert "## Attacks" not in card
    assert "None" not in card


def test_a_bundle_alone_gives_a_card_of_what_it_carries(run: RunFolder) -> None:
    found = write_evaluation(run, bits(9, 10), bits(4, 10))
    card = model_card(bundle_of(run, [found]), run.read_record())
    assert "| linf 8/255 | test | 10 | 90.0 % | 40.0 % (" in card
    assert "Beyond attacks" not in card


def test_each_class_has_its_row_and_a_class_of_few_images_is_named(run: RunFolder) -> None:
    sizes = {"cat": (200, 0.9), "dog": (40, 0.5), "owl": (5, 0.2)}
    rows = [
        PerClass(name=name, samples=n, clean_accuracy=0.9, robust_accuracy=left) for name, (n, left) in sizes.items()
    ]
    found = write_evaluation(run, bits(1, 2), bits(1, 2)).model_copy(
        update={"per_class": rows, "balanced": Balanced(classes=3, clean_accuracy=0.9, robust_accuracy=0.533)}
    )
    card = card_of(run, found)
    assert "balanced (the mean over 3 classes): clean 90.0 %, robust 53.3 %" in card
    assert "| owl | 5 | 90.0 % | 20.0 % (0.5 – 71.6) |" in card
    assert "Very few images: owl (5). Figures of this class say next to nothing" in card
    even = card_of(run, found.model_copy(update={"balanced": None, "per_class": rows[:2]}))
    assert "balanced" not in even
    assert "| dog | 40 |" in even
    assert "Very few images" not in even


def test_a_network_that_takes_no_image_alone_is_told(run: RunFolder) -> None:
    record = run.read_record()
    told = [
        model_card(bundle_of(run, []), record.model_copy(update={"input": record.input.model_copy(update=changed)}))
        for changed in ({"paired": True}, {})
    ]
    assert ["takes no image alone: the first image of a batch goes in twice" in card for card in told] == [True, False]
