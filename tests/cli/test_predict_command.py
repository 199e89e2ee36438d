"""`hardener predict` as a user or a script types it, against a server that answers what the test says."""

from __future__ import annotations

import base64
import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest
from scripted_server import Reply, prediction, problem, scripted
from typer.testing import CliRunner, Result

from hardener.cli.app import app
from hardener.client._call import BATCH_BYTES

MEANING = "what it shows and what it does not"
STATISTIC = {"value": 0.4, "unit": "", "training": None, "unusual": None}
STATISTICS = ("width", "height", "brightness", "contrast", "noise")
USUAL = {"q01": 0.1, "q25": 0.2, "median": 0.3, "q75": 0.4, "q99": 0.5}


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "140"})


def stability(share: float | None, *, label: str = "cat", parameter: float | None = 0.25) -> dict[str, Any]:
    worst = {"parameter": parameter, "label": label, "confidence": 0.4}
    return {
        "unit": "std of the noise", "tried": [0.1, 0.25], "variants": 6, "same_answer": share,
        "worst": None if share is None else worst, "meaning": MEANING,
    }  # fmt: skip


def report(**changes: Any) -> dict[str, Any]:
    return {
        "stability": {
            "noise": stability(0.5, label="dog"), "rotation": stability(1.0), "brightness": stability(1.0),
            "contrast": stability(1.0), "gray": stability(None), "blur": stability(1.0, parameter=None),
            "jpeg": stability(None),
        },
        "certificate": {
            "radius": 0.4321, "abstained": False, "label": "cat", "index": 0, "agrees_with_prediction": True,
            "noise_sigma": 0.25, "trained_with_this_noise": True, "selection_draws": 16, "draws": 100,
            "agreeing_draws": 99, "lower_bound": 0.9, "confidence": 0.999, "largest_possible_radius": 0.8,
            "meaning": MEANING,
        },
        "offline": {
            "evaluation": {
                "split": "test", "norm": "linf", "eps": 8 / 255, "samples": 1000, "clean_accuracy": 0.9,
                "robust_accuracy": 0.4, "interval": [0.37, 0.43], "attacks": ["pgd"], "evaluated_at": "now",
            },
            "meaning": MEANING,
        },
        "attack": {
            "name": "square", "norm": "linf", "eps": 8 / 255, "queries": 200, "queries_allowed": 200, "found": False,
            "label": None, "lowest_margin": 0.1, "statement": "no adversarial image found in 200 queries",
            "meaning": MEANING,
        },
        "margin": {"runner_up": "dog", "logits": 1.5, "probability": 0.5, "meaning": MEANING},
        "input": dict.fromkeys(STATISTICS, STATISTIC) | {"meaning": MEANING},
        "budget": {
            "allowed_s": 10, "draws_allowed": 100, "queries_allowed": 200, "spent_s": 1.25, "model_runs": 345,
            "cut_short": False,
        },
    } | changes  # fmt: skip


def answers(*bodies: dict[str, Any]) -> list[Reply]:
    return [Reply(body=json.dumps(body)) for body in bodies]


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{name}.png" for name in ("a", "b", "c")]
    for path in paths:
        path.write_bytes(path.stem.encode())
    return paths


def test_one_image_is_shown_with_its_likeliest_classes(images: list[Path]) -> None:
    many = {f"class {index:02d}": (index + 1) / 210 for index in range(20)}
    with scripted(answers(prediction(probabilities=many))) as (url, asked):
        found = hardener("predict", images[0], "--url", url)
    assert found.exit_code == 0, found.output
    assert asked[0].path == "/predict"
    assert f"{images[0]}  cat  75.0 %  by tiny ffffffffffff" in found.stdout
    rows = found.stdout.splitlines()[1:]
    assert [row.split()[1] for row in rows] == ["19", "18", "17", "16", "15"]
    assert rows[0].count("█") == 1  # 9.5 % of 20
    assert rows[0].endswith("9.5 %")


def test_top_k_and_model_and_token_are_passed_on(images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("  t0ken\n")
    with scripted(answers(prediction())) as (url, asked):
        found = hardener(
            "predict", images[0], "--url", url, "--top-k", 1, "--model", "m", "--token-file", tmp_path / "token"
        )
    assert found.exit_code == 0, found.output
    assert asked[0].path == "/predict?top_k=1&model=m"
    assert asked[0].headers["authorization"] == "Bearer t0ken"
    assert "dog" not in found.stdout


def test_a_report_is_a_readable_summary(images: list[Path]) -> None:
    with scripted(answers(prediction(report=report()))) as (url, asked):
        found = hardener("predict", images[0], "--url", url, "--report")
    assert found.exit_code == 0, found.output
    assert asked[0].path == "/predict?report=true"
    lines = [" ".join(line.split()) for line in found.stdout.splitlines()]
    for line in (
        "same answer under least left to cat",
        "noise ██████████ 50.0 % of 6 40.0 % at 0.25 std, taken for dog",
        "rotation ████████████████████ 100.0 % of 6 40.0 % at 0.25 std",
        "gray does not apply",
        "blur ████████████████████ 100.0 % of 6 40.0 %",
        "certificate l2 radius 0.432, of at most 0.800 (noise of 0.25, 100 draws, 99.9 % sure)",
        "attack square, linf 0.03137: no adversarial image found in 200 queries",
        "margin 1.50 logits, 50.0 % ahead of dog",
        "input not compared: the bundle has no statistics of its training images",
        "offline clean 90.0 %, robust 40.0 % (37.0 – 43.0) under linf 0.03137, 1000 images, pgd",
        "spent 1.2 s of 10 s, 345 model runs",
    ):
        assert line in lines, (line, lines)


def test_the_image_that_an_attack_found_is_kept_beside_others(images: list[Path], tmp_path: Path) -> None:
    probe = report()["attack"] | {"found": True, "label": "dog", "image": base64.b64encode(b"a PNG").decode()}
    folder = tmp_path / "new" / "found"
    with scripted(answers(prediction(report=report(attack=probe)))) as (url, asked):
        words = ("predict", images[0], "--url", url, "--report", "--save-found", folder)
        found = [hardener(*words), hardener(*words, "--json")]
    assert [result.exit_code for result in found] == [0, 0], found
    assert asked[0].path == "/predict?report=true&found_image=true"
    files = [folder / f"{images[0].stem}-found.png", folder / f"{images[0].stem}-found-2.png"]
    assert [file.read_bytes() for file in files] == [b"a PNG", b"a PNG"]
    assert f"the image found: {files[0]}" in found[0].output
    assert json.loads(found[1].stdout)["prediction"]["report"]["attack"]["image"] == probe["image"]


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX does")
def test_an_image_that_finds_no_room_leaves_no_piece_and_advises_no_option(images: list[Path], tmp_path: Path) -> None:
    probe = report()["attack"] | {"found": True, "label": "dog", "image": base64.b64encode(b"a PNG").decode()}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with scripted(answers(prediction(report=report(attack=probe)))) as (url, _):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (3, before[1]))
            found = hardener("predict", images[0], "--url", url, "--report", "--save-found", tmp_path / "found")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (found.exit_code, list((tmp_path / "found").iterdir())) == (2, [])
    assert "error: no space left on the disk" in found.stderr
    assert "Free some." in found.stderr
    assert "--out" not in found.stderr


def test_what_cannot_keep_an_image_is_said_before_anything_is_asked(images: list[Path]) -> None:
    found = hardener("predict", images[0], "--save-found", "found")
    assert (found.exit_code, found.output) == (
        2, "error: --save-found keeps what a report's attack finds. Add --report.\n"
    )  # fmt: skip
    found = hardener("predict", images[0], "--report", "--save-found", images[1])
    assert found.exit_code == 2
    assert f"--save-found: {images[1]} is no folder and cannot be made" in found.output.replace("\n", " ")


def test_a_report_says_what_was_not_run(images: list[Path]) -> None:
    plain = report()
    late = stability(None) | {"meaning": "Not run: the report's time ran out."}
    short = report(
        stability=plain["stability"] | {"jpeg": late},
        certificate=plain["certificate"]
        | {"radius": None, "abstained": True, "label": None, "index": None, "agrees_with_prediction": None, "draws": 0},
        attack=plain["attack"] | {"norm": None, "eps": None, "found": None, "statement": "not run"},
    )
    with scripted(answers(prediction(report=short))) as (url, _):
        found = hardener("predict", images[0], "--url", url, "--report")
    assert found.exit_code == 0, found.output
    lines = [" ".join(line.split()) for line in found.stdout.splitlines()]
    assert {"gray does not apply", "jpeg not run", "attack square: not run"} <= set(lines)


def test_a_report_does_not_flatter(images: list[Path]) -> None:
    plain = report()
    odd = {"value": 0.9, "unit": "mean", "training": USUAL, "unusual": True}
    worse = report(
        certificate=plain["certificate"] | {"radius": None, "abstained": True},
        attack=plain["attack"] | {"found": True, "label": "dog", "statement": "adversarial image found in 7 queries"},
        input=plain["input"] | {"brightness": odd, "noise": odd | {"unusual": False}},
        offline={"evaluation": None, "meaning": MEANING},
        budget=plain["budget"] | {"cut_short": True},
    )
    other = report(
        certificate=plain["certificate"] | {"agrees_with_prediction": False, "label": "dog"},
        input=plain["input"] | {"noise": odd | {"unusual": False}},
    )
    with scripted(answers(prediction(report=worse), prediction(report=other))) as (url, _):
        found = hardener("predict", *images[:2], "--url", url, "--report")
    assert found.exit_code == 0, found.output
    text = " ".join(found.stdout.split())
    for words in (
        "certificate abstains: no radius could be certified (noise of 0.25",
        "adversarial image found in 7 queries; taken for dog",
        "input unlike the training images: brightness 0.9 mean (training: 0.1 to 0.5)",
        "offline the model was not evaluated before its export",
        "345 model runs; cut short",
        "certificate of another answer, dog: l2 radius 0.432",
        "input like the training images in noise",
    ):
        assert words in text, words


def test_several_images_go_in_one_batch_and_a_bad_one_spoils_no_other(images: list[Path]) -> None:
    items = [
        {"prediction": prediction("cat"), "problem": None},
        {"prediction": None, "problem": problem(422, "Unprocessable Content", "truncated or damaged")},
        {"prediction": prediction("frog"), "problem": None},
    ]
    with scripted(answers({"items": items})) as (url, asked):
        found = hardener("predict", *images, "--url", url)
        lines = hardener("predict", *images, "--url", url, "--json")
    assert [request.path for request in asked] == ["/predict/batch"] * 2
    assert found.exit_code == lines.exit_code == 2
    complaint = (
        "b.png was not answered: 422 Unprocessable Content: truncated or damaged (1 of 3 images were not answered)"
    )
    assert complaint in found.stderr
    assert complaint in lines.stderr
    assert "frog" in found.stdout
    assert found.stdout.index("a.png") < found.stdout.index("c.png")
    read = [json.loads(line) for line in lines.stdout.splitlines()]
    assert [line["image"] for line in read] == [str(path) for path in images]
    assert [line["prediction"] and line["prediction"]["label"] for line in read] == ["cat", None, "frog"]
    assert read[1]["problem"]["status"] == 422


def test_an_empty_file_is_its_own_problem_and_each_one_is_named(images: list[Path], tmp_path: Path) -> None:
    empty = [tmp_path / f"empty-{number:02d}.png" for number in range(12)]
    for path in empty:
        path.touch()
    items = [{"prediction": prediction(label), "problem": None} for label in ("cat", "frog")]
    with scripted(answers({"items": items})) as (url, asked):
        found = hardener("predict", images[0], *empty, images[1], "--url", url)
        lines = hardener("predict", images[0], *empty, images[1], "--url", url, "--json")
    assert (found.exit_code, lines.exit_code, len(asked)) == (2, 2, 2)
    assert found.stdout.index("cat") < found.stdout.index("frog")
    read = [json.loads(line) for line in lines.stdout.splitlines()]
    assert [line["prediction"] is not None for line in read] == [True, *[False] * 12, True]
    assert {line["problem"]["status"] for line in read[1:-1]} == {415}
    for result in (found, lines):
        told = result.stderr.splitlines()
        assert "empty-00.png is empty (0 bytes). (12 of 14 images were not answered)" in told[0]
        assert all(path.name in line for path, line in zip(empty[1:10], told[1:], strict=False))
        assert told[-1] == "  and 2 more"
    with scripted(answers(prediction(report=report()))) as (url, _):
        found = hardener("predict", empty[0], images[0], "--url", url, "--report")
    assert found.exit_code == 2
    assert "certificate" in found.stdout


def test_what_was_answered_is_shown_where_a_later_request_fails(images: list[Path], tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(bytes(BATCH_BYTES))
    refusal = Reply(401, json.dumps(problem(401, "Unauthorized", "the token has ended.")))
    for words, first in (([images[0]] * 40, 32), ([images[0], images[1], large], 2)):
        items = [{"prediction": prediction(), "problem": None}] * first
        with scripted([*answers({"items": items}), refusal]) as (url, asked):
            found = hardener("predict", *words, "--url", url)
        with scripted([*answers({"items": items}), refusal]) as (url, _):
            lines = hardener("predict", *words, "--url", url, "--json")
        assert (found.exit_code, lines.exit_code, len(asked)) == (2, 2, 2)
        assert "the token has ended" in found.stderr
        assert found.stdout.count("75.0 %") == first
        assert len(lines.stdout.splitlines()) == first


def test_more_images_than_a_request_takes_go_in_chunks(images: list[Path]) -> None:
    whole, rest = ([{"prediction": prediction(), "problem": None}] * count for count in (32, 3))
    with scripted(answers({"items": whole}, {"items": rest})) as (url, asked):
        found = hardener("predict", *[images[0]] * 35, "--url", url, "--json")
    assert found.exit_code == 0, found.output
    assert len(asked) == 2
    assert len(found.stdout.splitlines()) == 35


def test_one_line_of_json_has_the_whole_report(images: list[Path]) -> None:
    with scripted(answers(prediction(report=report()))) as (url, _):
        found = hardener("predict", images[0], "--url", url, "--json", "--report")
    (line,) = found.stdout.splitlines()
    assert json.loads(line)["prediction"]["report"]["certificate"]["meaning"] == MEANING


def test_a_bad_image_among_reports_spoils_no_other(images: list[Path]) -> None:
    bad = Reply(415, json.dumps(problem(415, "Unsupported Media Type", "not an image")))
    with scripted([bad, *answers(prediction(report=report()))]) as (url, _):
        found = hardener("predict", *images[:2], "--url", url, "--report", "--json")
    assert found.exit_code == 2
    assert [json.loads(line)["problem"] is None for line in found.stdout.splitlines()] == [False, True]
    assert "a.png was not answered: 415 Unsupported Media Type: not an image (1 of 2" in found.stderr


@pytest.mark.parametrize(("status", "code"), [(401, 2), (404, 2), (500, 1), (504, 1)], ids=lambda value: str(value))
def test_what_is_wrong_with_all_images_ends_the_command(images: list[Path], status: int, code: int) -> None:
    with scripted([Reply(status, json.dumps(problem(status, "No", "because")))]) as (url, asked):
        found = hardener("predict", *images, "--url", url, "--report")
    assert (found.exit_code, len(asked), found.stdout) == (code, 1, "")
    assert f"error: {url}/predict answered {status}" in found.stderr
    assert "because" in found.stderr


def test_an_image_that_the_service_could_not_get_to_is_a_failure(images: list[Path]) -> None:
    late = {"prediction": None, "problem": problem(503, "Service Unavailable", "too many images wait")}
    with scripted(answers({"items": [{"prediction": prediction(), "problem": None}, late]})) as (url, _):
        found = hardener("predict", *images[:2], "--url", url)
    assert found.exit_code == 1
    assert "b.png was not answered: 503 Service Unavailable: too many images wait" in found.stderr


def test_mistakes_are_said_before_anything_is_sent(images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "no-token").write_text("\n")
    (tmp_path / "empty.png").touch()
    with scripted(answers(prediction())) as (url, asked):
        for message, words in (
            (f"no file {tmp_path / 'none.png'}.", [tmp_path / "none.png"]),
            (f"{tmp_path} is a folder; name the images in it.", [images[0], tmp_path]),
            (f"the image {tmp_path / 'empty.png'} is empty (0 bytes).", [tmp_path / "empty.png"]),
            ("no-token is empty; it should hold the token.", [images[0], "--token-file", tmp_path / "no-token"]),
            ("No such file or directory: nowhere.", [images[0], "--token-file", "nowhere"]),
            ("'localhost:3000' is no URL of a service", [images[0], "--url", "localhost:3000"]),
        ):
            found = hardener("predict", "--url", url, *words)
            assert found.exit_code == 2, found.output
            assert found.stderr.startswith("error: ")
            assert message in found.stderr, found.stderr
    assert asked == []


def test_a_report_tells_other_data_by_name_and_threats_without_a_norm(images: list[Path]) -> None:
    own = report()["offline"]["evaluation"]
    turn = {name: value for name, value in own.items() if name not in {"norm", "eps"}}
    turn |= {"threat": "spatial", "reach": "The image is turned."}
    both = report(offline={"evaluation": own | {"data": "field"}, "changed": [turn], "meaning": MEANING})
    alone = report(offline={"evaluation": None, "changed": [turn], "meaning": MEANING})
    with scripted(answers(prediction(report=both), prediction(report=alone))) as (url, _):
        found = hardener("predict", *images[:2], "--url", url, "--report")
    assert found.exit_code == 0, found.output
    text = " ".join(found.stdout.split())
    assert f"{own['samples']} images of field," in text
    assert "under spatial," in text
    assert "the model was not evaluated under a norm before its export" in text
    assert "not evaluated before its export" not in text
