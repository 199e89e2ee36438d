"""What a report says beside its probes: margin, input check, what it spent, and what it says when time runs out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from bundles import image_bytes, linear_bundle
from loaded import answering, linear_logits, open_service, send_image
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binom

from hardener.config.answer import Certificate, Report
from hardener.config.bundle import Bundle, read_bundle
from hardener.errors import Failure
from hardener.statistics.betting import lower_bound
from serving.budget import Budget
from serving.certificate import certify
from serving.probes import NO_TIME
from serving.report import robustness_report
from serving.timed_model import Logits, ModelAccess, Pixels, TimedModel

GRAY = np.full((16, 16, 3), 128, np.uint8)
COLOUR = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
CONSTANT = np.zeros((16, 16, 3, 2), np.float32)
BIAS = (5.0, 0.0)
VARIANTS = 16 + 12 + 10 + 10 + 1 + 5 + 5
SPREAD = {"q01": 0.1, "q25": 0.2, "median": 0.3, "q75": 0.4, "q99": 0.5}
SIZES = {"q01": 16, "q25": 16, "median": 16, "q75": 16, "q99": 16}
TRAINING = {
    "images": 2000,
    "width": SIZES,
    "height": SIZES,
    "brightness": SPREAD,
    "contrast": {**SPREAD, "q01": 0.0},
    "noise": {**SPREAD, "q01": 0.0},
}


def bundle_of(folder: Path, **changes: Any) -> Bundle:
    return read_bundle(linear_bundle(folder, CONSTANT, BIAS, changes=changes))


def report_on(bundle: Bundle, access: ModelAccess, budget: Budget, image: Pixels = COLOUR) -> Report:
    async def scene() -> Report:
        return await robustness_report(
            image, np.array(BIAS, np.float32), bundle, access, budget, file_size=(image.shape[1], image.shape[0])
        )

    return asyncio.run(scene())


def ask_over_http(folder: Path, file: bytes, **changes: Any) -> Report:
    with open_service(linear_bundle(folder, CONSTANT, BIAS, changes=changes)) as service:
        answer = send_image(service, file, report="true")
    assert answer.status_code == 200, answer.text
    return Report.model_validate(answer.json()["report"])


def stopping_after(images: int, **settings: Any) -> ModelAccess:
    """A model that says nothing more after so many images, while the loop's clock runs on by an hour."""
    given = 0
    plain = answering(linear_logits(CONSTANT, BIAS), **settings)

    async def submit(batch: Pixels) -> Logits:
        nonlocal given
        if given + len(batch) > images:
            loop = asyncio.get_running_loop()
            late = loop.time() + 3600
            loop.time = lambda: late  # type: ignore[method-assign]
            await asyncio.Event().wait()
        given += len(batch)
        return await plain.submit(batch)

    return ModelAccess(submit, plain.in_thread, chunk=plain.chunk, window=plain.window)


def test_a_report_accounts_for_each_run_of_the_model(tmp_path: Path) -> None:
    asked = 0

    def count(images: Pixels) -> Logits:
        nonlocal asked
        asked += len(images)
        return linear_logits(CONSTANT, BIAS)(images)

    report = report_on(bundle_of(tmp_path), answering(count), Budget(seconds=60, draws=50, queries=33))
    budget = report.budget
    assert (budget.allowed_s, budget.draws_allowed, budget.queries_allowed) == (60, 50, 33)
    assert budget.model_runs == asked == VARIANTS + 16 + report.certificate.draws + 33
    assert not budget.cut_short
    assert 0 < budget.spent_s < 60
    assert 0 < report.certificate.draws <= 50
    assert (report.attack.queries, report.attack.queries_allowed) == (33, 33)
    assert "time ran out" not in report.model_dump_json()


def test_without_any_time_each_part_says_that_it_was_not_run(tmp_path: Path) -> None:
    report = report_on(
        bundle_of(tmp_path), answering(linear_logits(CONSTANT, BIAS)), Budget(seconds=0.0, draws=50, queries=33)
    )
    for name in type(report.stability).model_fields:
        kind = getattr(report.stability, name)
        assert (kind.same_answer, kind.worst, kind.variants, kind.tried) == (None, None, 0, []), name
        assert kind.meaning == NO_TIME
    certificate = report.certificate
    assert (certificate.radius, certificate.abstained, certificate.label, certificate.index) == (None, True, None, None)
    assert (certificate.draws, certificate.lower_bound, certificate.largest_possible_radius) == (0, 0, 0)
    assert certificate.agrees_with_prediction is None
    assert certificate.meaning.startswith("Not certified: the report's time ran out")
    assert (report.attack.queries, report.attack.found) == (0, False)
    assert report.attack.statement == "no adversarial image found in 0 queries"
    assert report.attack.lowest_margin == 5
    assert "time ran out before all queries" in report.attack.meaning
    assert (report.budget.model_runs, report.budget.cut_short) == (0, True)
    assert report.margin.logits == 5
    assert report.input.brightness.value > 0


def test_when_the_time_runs_out_every_part_has_had_a_share_and_says_so(tmp_path: Path) -> None:
    report = report_on(bundle_of(tmp_path), stopping_after(90), Budget(seconds=60, draws=500, queries=500))
    assert report.budget.cut_short
    assert 80 <= report.budget.model_runs <= 90
    variants = sum(getattr(report.stability, name).variants for name in type(report.stability).model_fields)
    draws = report.certificate.selection_draws + report.certificate.draws
    assert variants + draws + report.attack.queries == report.budget.model_runs
    assert min(variants, draws, report.attack.queries) >= 18
    assert report.stability.noise.same_answer == 1
    assert (report.stability.jpeg.same_answer, report.stability.jpeg.meaning) == (None, NO_TIME)
    assert report.attack.statement == f"no adversarial image found in {report.attack.queries} queries"
    assert "time ran out before all queries" in report.attack.meaning


def test_a_probe_that_is_cut_short_counts_what_was_asked(tmp_path: Path) -> None:
    access = stopping_after(90, window=1)
    report = report_on(bundle_of(tmp_path), access, Budget(seconds=60, draws=500, queries=500))
    kinds = {name: getattr(report.stability, name) for name in type(report.stability).model_fields}
    cut = [kind for kind in kinds.values() if "time ran out after" in kind.meaning]
    assert len(cut) == 1
    (kind,) = cut
    assert 0 < kind.variants == len(kind.tried)
    assert f"after {kind.variants} of " in kind.meaning
    assert kind.same_answer == 1
    assert kind.worst is not None
    assert kind.worst.parameter in kind.tried


def certify_with(access: ModelAccess, bundle: Bundle, *, draws: int) -> Certificate:
    async def scene() -> Certificate:
        model = TimedModel(access, seconds=60)
        generator = np.random.default_rng(0)
        return await certify(GRAY, 0, bundle, model, generator, Budget(draws=draws, queries=1, seconds=60))

    return asyncio.run(scene())


def test_a_certificate_that_is_cut_short_holds_for_the_draws_made(tmp_path: Path) -> None:
    certificate = certify_with(stopping_after(66, window=1), bundle_of(tmp_path), draws=5000)
    assert (certificate.selection_draws, certificate.draws, certificate.agreeing_draws) == (16, 50, 50)
    assert certificate.lower_bound == lower_bound(50, 50, 0.001)
    assert certificate.radius == 0.25 * NormalDist().inv_cdf(lower_bound(50, 50, 0.001))
    assert certificate.radius == certificate.largest_possible_radius
    assert "The report's time ran out after 50 of 5,000 draws." in certificate.meaning
    assert "The confidence holds whenever the draws end." in certificate.meaning


def test_a_certificate_that_stops_while_choosing_certifies_nothing(tmp_path: Path) -> None:
    certificate = certify_with(stopping_after(10, window=1), bundle_of(tmp_path), draws=50)
    assert (certificate.selection_draws, certificate.draws, certificate.index) == (10, 0, 0)
    assert (certificate.radius, certificate.abstained, certificate.agrees_with_prediction) == (None, True, True)
    assert "Not certified" in certificate.meaning


def answering_by_chance(share: float) -> ModelAccess:
    """A model that gives the first class with this chance whatever it is asked."""
    chance = np.random.default_rng(1)

    def logits_of(images: Pixels) -> Logits:
        first = chance.random(len(images)) < share
        return np.stack([first, ~first], axis=1).astype(np.float32)

    return answering(logits_of)


def test_the_draws_end_when_the_radii_are_settled_and_say_which(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path)
    clear = certify_with(answering(linear_logits(CONSTANT, BIAS)), bundle, draws=500)
    assert 300 < clear.draws < 500, "two sigma: 0.977 of the draws must be known to agree"
    assert clear.radius is not None
    assert 0.5 <= clear.radius < 0.53
    assert "settled which of the radii 0, 0.125, 0.25, 0.375, 0.5 are certified" in clear.meaning
    seen = 0

    def fickle(images: Pixels) -> Logits:
        nonlocal seen
        seen += len(images)
        return np.tile(np.array([seen <= 16, seen > 16], np.float32), (len(images), 1))

    left = certify_with(answering(fickle), bundle, draws=500)
    assert (left.label, left.agreeing_draws, left.abstained) == ("class-0", 0, True)
    assert left.draws < 30, "that nothing will be certified is settled too"
    torn = certify_with(answering_by_chance(0.5), bundle, draws=500)
    assert (torn.abstained, torn.draws) == (True, 500)
    assert "All 500 draws were made; more might certify more of the radii" in torn.meaning


def test_no_more_radii_are_too_large_than_the_confidence_allows(tmp_path: Path) -> None:
    """A model that gives the class with a chance of 0.9 has the radius sigma x 1.28; alpha is large to see errors."""
    bundle, truth = bundle_of(tmp_path), 0.25 * NormalDist().inv_cdf(0.9)
    model, generator = answering_by_chance(0.9), np.random.default_rng(0)

    async def scene() -> list[float]:
        budget = Budget(draws=120, queries=1, seconds=600, alpha=0.1)
        timed = TimedModel(model, seconds=600)
        found = [await certify(GRAY, 0, bundle, timed, generator, budget) for _ in range(300)]
        return [certificate.radius or 0.0 for certificate in found]

    radii = asyncio.run(scene())
    assert sum(radius > truth for radius in radii) <= binom.ppf(1 - 1e-6, 300, 0.1)
    assert sum(radius > truth / 2 for radius in radii) > 150


@pytest.mark.parametrize("error", [Failure("broken"), TimeoutError("of the model's own")])
def test_a_failing_model_fails_the_report_as_itself_and_leaves_nothing_under_way(
    tmp_path: Path, error: Exception
) -> None:
    bundle, under_way = bundle_of(tmp_path), 0
    plain = answering(linear_logits(CONSTANT, BIAS))

    async def submit(images: Pixels) -> Logits:
        nonlocal under_way
        under_way += 1
        try:
            await asyncio.sleep(0)
            if under_way > 3:
                raise error
            await asyncio.Event().wait()
            return await plain.submit(images)
        finally:
            under_way -= 1

    access = ModelAccess(submit, plain.in_thread, chunk=2, window=2)
    with pytest.raises(type(error)) as raised:
        report_on(bundle, access, Budget(seconds=60, draws=50, queries=50))
    assert raised.value is error
    assert under_way == 0


def test_the_margin_is_the_lead_over_the_next_class(tmp_path: Path) -> None:
    weights = np.zeros((16, 16, 3, 3), np.float32)
    with open_service(linear_bundle(tmp_path, weights, (1.0, 3.0, 2.5), classes=["a", "b", "c"])) as service:
        answer = send_image(service, image_bytes(GRAY), report="true").json()
    margin = Report.model_validate(answer["report"]).margin
    shares = np.exp([1.0, 3.0, 2.5]) / np.exp([1.0, 3.0, 2.5]).sum()
    assert (answer["label"], margin.runner_up) == ("b", "c")
    assert margin.logits == pytest.approx(0.5)
    assert margin.probability == pytest.approx(shares[1] - shares[2], rel=1e-5)


def test_a_tie_has_no_margin_and_another_runner_up(tmp_path: Path) -> None:
    with open_service(linear_bundle(tmp_path, CONSTANT, (1.0, 1.0))) as service:
        answer = send_image(service, image_bytes(GRAY), report="true").json()
    assert (answer["label"], answer["report"]["margin"]["runner_up"]) == ("class-0", "class-1")
    assert answer["report"]["margin"]["logits"] == 0


def test_an_image_unlike_the_training_images_is_called_unusual(tmp_path: Path) -> None:
    usual = ask_over_http(tmp_path, image_bytes(GRAY // 2), training_images=TRAINING).input
    assert usual.brightness.value == pytest.approx(64 / 255)
    assert usual.brightness.training is not None
    assert (usual.brightness.training.q99, usual.brightness.unusual) == (0.5, False)
    assert [usual.width.unusual, usual.height.unusual, usual.contrast.unusual, usual.noise.unusual] == [False] * 4
    assert "2,000 training images" in usual.meaning
    bright = ask_over_http(tmp_path, image_bytes(GRAY), training_images=TRAINING).input
    assert (bright.brightness.unusual, bright.contrast.unusual) == (True, False)
    large = ask_over_http(tmp_path, image_bytes(np.full((20, 16, 3), 64, np.uint8)), training_images=TRAINING).input
    assert (large.width.value, large.width.unusual, large.height.value, large.height.unusual) == (16, False, 20, True)


def test_the_size_is_the_file_s_the_right_way_up_though_jpeg_is_decoded_smaller(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = image_bytes(np.zeros((300, 500, 3), np.uint8), "JPEG", exif=exif)
    found = ask_over_http(tmp_path, file).input
    assert (found.width.value, found.height.value) == (300, 500)


def test_a_bundle_from_before_still_serves_and_says_what_it_lacks(tmp_path: Path) -> None:
    report = ask_over_http(tmp_path, image_bytes(GRAY), evaluation=None, evaluations=[])
    for name in ("width", "height", "brightness", "contrast", "noise"):
        statistic = getattr(report.input, name)
        assert (statistic.training, statistic.unusual) == (None, None)
    assert "no statistics of training images" in report.input.meaning
    attack = report.attack
    assert (attack.norm, attack.eps, attack.found, attack.queries) == (None, None, None, 0)
    assert (attack.statement, attack.meaning.startswith("Not run: the bundle names no norm")) == ("not run", True)


def test_the_attack_takes_the_bundle_s_threat_else_the_evaluation_s(tmp_path: Path) -> None:
    named = ask_over_http(tmp_path, image_bytes(GRAY), threat={"norm": "l2", "eps": 0.5}).attack
    assert (named.norm, named.eps) == ("l2", 0.5)
    older = ask_over_http(tmp_path, image_bytes(GRAY)).attack
    assert (older.norm, older.eps) == ("linf", 8 / 255)


def test_answers_keep_the_images_order_across_blocks_and_chunks() -> None:
    images = np.arange(23, dtype=np.uint8).reshape(-1, 1, 1, 1)
    blocks: list[Callable[[], NDArray[np.uint8]]] = [lambda: images[:7], lambda: images[7:8], lambda: images[8:]]

    async def slow_first(batch: Pixels) -> Logits:
        for _ in range(int(20 - batch[0, 0, 0, 0]) if batch[0, 0, 0, 0] < 20 else 0):
            await asyncio.sleep(0)
        return batch.reshape(-1, 1).astype(np.float32)

    async def scene() -> Logits | None:
        plain = answering(lambda batch: batch.reshape(-1, 1).astype(np.float32))
        return await TimedModel(ModelAccess(slow_first, plain.in_thread, chunk=4, window=3), seconds=60).ask(blocks)

    answers = asyncio.run(scene())
    assert answers is not None
    assert answers[:, 0].tolist() == list(range(23))


def test_no_more_chunks_are_under_way_than_the_window() -> None:
    most = under_way = 0

    async def submit(batch: Pixels) -> Logits:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return batch.reshape(-1, 1).astype(np.float32)

    async def scene() -> None:
        plain = answering(lambda batch: batch.reshape(-1, 1).astype(np.float32))
        model = TimedModel(ModelAccess(submit, plain.in_thread, chunk=2, window=3), seconds=60)
        await model.ask([lambda: np.zeros((20, 1, 1, 1), np.uint8)] * 2)
        assert model.answered == 40

    asyncio.run(scene())
    assert most == 3


def test_a_report_s_schema_requires_every_part() -> None:
    schema = Report.model_json_schema(mode="serialization")
    assert set(schema["required"]) == set(schema["properties"])
    json.dumps(schema)
