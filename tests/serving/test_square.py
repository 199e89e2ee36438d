"""The Square attack on 8-bit images, against models where it is known whether an adversarial image exists."""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from bundles import image_bytes, linear_bundle
from loaded import answering, linear_logits, open_service, send_image
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from hardener.attacks.square import square
from hardener.config.answer import AttackProbe
from hardener.config.bundle import InputSpec, ServedThreat
from serving.found_image import ASK_FOR_IT, NO_TIME, NOT_AGAIN, SENT, offer
from serving.square import Schedule, SquareSearch, attack_with_square
from serving.timed_model import Logits, Pixels, TimedModel

Norm = Literal["linf", "l2"]
NORMS: tuple[Norm, ...] = ("linf", "l2")
RANDOM = np.random.default_rng(2)
EPS = 8 / 255
SLOW = Schedule()  # that of the torch attack
STEPS = 8
HALVES = np.ones((16, 16, 3), np.float32)
HALVES[:, 8:, :2] = -1
HALVES[8:, :, 2] = -1
HALVES *= RANDOM.uniform(0.5, 1.5, HALVES.shape).astype(np.float32)
MIDDLE = RANDOM.integers(60, 196, (16, 16, 3), dtype=np.uint8)
AT_THE_EDGE = np.where(RANDOM.random((16, 16, 3)) < 0.5, 0, 255).astype(np.uint8)


def model_with_margin(image: Pixels, margin: float) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Weights and bias of two classes: the first leads by `margin` on the image, and HALVES is its gradient."""
    lead = float((HALVES.astype(np.float64) * image).sum()) / 255
    return np.stack([HALVES, np.zeros_like(HALVES)], axis=-1), (margin - lead, 0.0)


def largest_loss(image: Pixels, steps: int) -> float:
    """How much a uint8 image within `steps` can take from the margin: each value goes as far as ball and box allow."""
    down, up = np.minimum(image, steps), np.minimum(255 - image, steps)
    return float((np.abs(HALVES) * np.where(HALVES > 0, down, up)).sum()) / 255


def run(
    image: Pixels, margin: float, *, norm: Norm = "linf", eps: float = EPS, queries: int = 400, chunk: int = 2
) -> AttackProbe:
    weights, bias = model_with_margin(image, margin)
    asked = 0

    def count(images: Pixels) -> Logits:
        nonlocal asked
        asked += len(images)
        return linear_logits(weights, bias)(images)

    async def scene() -> AttackProbe:
        model = TimedModel(answering(count, chunk=chunk), seconds=60)
        threat = ServedThreat(norm=norm, eps=eps)
        generator = np.random.default_rng(0)
        probe, _ = await attack_with_square(image, 0, margin, ["a", "b"], threat, model, generator, queries=queries)
        return probe

    probe = asyncio.run(scene())
    assert asked == probe.queries <= queries
    return probe


@pytest.mark.parametrize("chunk", [1, 2, 8])
@pytest.mark.parametrize("image", [MIDDLE, AT_THE_EDGE], ids=["inside the box", "at its edge"])
def test_found_where_one_clearly_exists_and_never_where_none_can(image: Pixels, chunk: int) -> None:
    """A linear model has an adversarial image exactly where the margin is below what ball and box let it lose."""
    reach = largest_loss(image, STEPS)
    assert reach <= EPS * float(np.abs(HALVES).sum()) + 1e-6
    near = run(image, 0.5 * reach, chunk=chunk)
    assert (near.found, near.label) == (True, "b")
    assert near.queries < 400
    assert near.lowest_margin < 0
    assert near.statement == f"adversarial image found in {near.queries} queries"
    assert "not robust at this eps" in near.meaning
    far = run(image, 1.001 * reach, chunk=chunk)
    assert (far.found, far.label, far.queries) == (False, None, 400)
    assert far.statement == "no adversarial image found in 400 queries"
    assert 0.001 * reach <= far.lowest_margin + 1e-3 < 0.6 * reach
    assert "proves nothing" in far.meaning


def test_the_box_keeps_an_image_safe_that_the_ball_alone_would_not() -> None:
    """Half of this image's values can't move the way that hurts, so twice the box's reach is within the ball's."""
    ball = EPS * float(np.abs(HALVES).sum())
    reach = largest_loss(AT_THE_EDGE, STEPS)
    assert reach < 0.6 * ball
    assert run(AT_THE_EDGE, 1.01 * reach).found is False
    assert run(MIDDLE, 1.01 * reach, queries=2000).found is True


def test_an_l2_ball_s_reach_is_eps_times_the_length_of_the_gradient() -> None:
    reach = 2.0 * float(np.linalg.norm(HALVES))
    assert run(MIDDLE, 0.4 * reach, norm="l2", eps=2.0).found is True
    assert run(MIDDLE, 1.001 * reach, norm="l2", eps=2.0).found is False


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(16, 16, 3), (7, 5, 1), (3, 9, 3), (32, 32, 3)])
@pytest.mark.parametrize("eps", [8 / 255, 0.1, 2.5 / 255, 1.7])
def test_proposals_are_eight_bit_images_that_never_leave_the_ball(
    norm: Norm, shape: tuple[int, int, int], eps: float
) -> None:
    for image in (RANDOM.integers(0, 256, shape, dtype=np.uint8), np.zeros(shape, np.uint8)):
        search = SquareSearch(image, 0, norm=norm, eps=eps, generator=np.random.default_rng(3), schedule=SLOW)
        for _ in range(40):
            proposals = search.propose(3)
            assert proposals.dtype == np.uint8
            assert proposals.shape == (3, *shape)
            distance = np.abs(proposals.astype(np.int64) - image).reshape(3, -1)
            if norm == "linf":
                assert distance.max() <= eps * 255 + 1e-6
            else:
                assert (distance**2).sum(axis=1).max() <= (eps * 255) ** 2 + 1e-6
            leads = RANDOM.random(3).astype(np.float32) + 0.1
            search.learn(np.stack([leads, np.zeros(3, np.float32)], axis=1))


def test_the_start_uses_the_whole_ball() -> None:
    flat = np.full((32, 32, 3), 128, np.uint8)
    stripes = SquareSearch(flat, 0, norm="linf", eps=EPS, generator=np.random.default_rng(0), schedule=SLOW).propose(2)
    assert set(np.unique(stripes).tolist()) == {128 - STEPS, 128 + STEPS}
    assert (stripes == stripes[:, :1]).all()
    tiles = SquareSearch(flat, 0, norm="l2", eps=2.0, generator=np.random.default_rng(0), schedule=SLOW).propose(2)
    lengths = np.linalg.norm((tiles.astype(float) - 128).reshape(2, -1), axis=1) / 255
    assert (lengths > 0.97 * 2.0).all()


def test_a_round_keeps_the_best_of_its_proposals_and_none_that_is_worse() -> None:
    search = SquareSearch(MIDDLE, 1, norm="linf", eps=EPS, generator=np.random.default_rng(0), schedule=SLOW)
    first = search.propose(3)
    search.learn(np.array([[0, 5], [0, 2], [0, 4]], np.float32))
    assert (search.queries, search.lowest_margin) == (3, 2)
    worse = search.propose(2)
    search.learn(np.array([[0, 3], [0, 6]], np.float32))
    for proposal in (*worse, *search.propose(2)):  # each changes one square of the best point so far
        rows, columns, _ = np.nonzero(proposal != first[1])
        assert len(rows) > 0
        side = round((0.8 * 256) ** 0.5)
        assert max(np.ptp(rows), np.ptp(columns)) < side
    assert (search.queries, search.lowest_margin) == (5, 2)


def test_it_stops_at_the_first_success_and_the_answer_to_that_image_differs(tmp_path: Path) -> None:
    weights, bias = model_with_margin(MIDDLE, 0.3 * largest_loss(MIDDLE, STEPS))
    logits_of = linear_logits(weights, bias)
    search = SquareSearch(MIDDLE, 0, norm="linf", eps=EPS, generator=np.random.default_rng(1), schedule=SLOW)
    while search.adversarial is None:
        assert search.queries < 400
        search.learn(logits_of(search.propose(2)))
    threat = {"norm": "linf", "eps": EPS}
    with open_service(linear_bundle(tmp_path, weights, bias, changes={"threat": threat})) as service:
        assert send_image(service, image_bytes(MIDDLE)).json()["index"] == 0
        assert send_image(service, image_bytes(search.adversarial)).json()["index"] == search.answer == 1
        served = send_image(service, image_bytes(MIDDLE), report="true").json()["report"]["attack"]
        asked = send_image(service, image_bytes(MIDDLE), report="true", found_image="true").json()["report"]["attack"]
        file = AttackProbe.model_validate(asked).image_file()
        assert file is not None
        uploaded = send_image(service, file).json()
    assert (served["found"], served["label"]) == (True, "class-1")
    assert served["queries"] < served["queries_allowed"]
    assert served["image"] is None, "an answer does not grow unasked"
    assert served["meaning"].endswith(ASK_FOR_IT)
    assert asked["meaning"].endswith(SENT)
    assert uploaded["index"] == 1
    read = np.asarray(Image.open(io.BytesIO(file)))
    assert read.shape == MIDDLE.shape
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - MIDDLE).max() <= STEPS


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["crop", "letterbox", "stretch"])
def test_an_image_that_its_file_does_not_bear_out_is_not_sent(fit: str, channels: int) -> None:
    """The model is asked about the file's pixels, which are the very ones that were found; it alone decides."""
    found = RANDOM.integers(0, 256, (7, 9, channels), dtype=np.uint8)
    probe = AttackProbe(
        norm="linf", eps=EPS, queries=3, queries_allowed=9, found=True, label="b", lowest_margin=-1.0,
        statement="adversarial image found in 3 queries", meaning="It was found.",
    )  # fmt: skip
    rule = {"fit": fit, "background": [9, 9, 9]}
    spec = InputSpec.model_validate({"height": 7, "width": 9, "channels": channels, "resize": "", "pixels": rule})

    def offered(label: int, *, seconds: float = 60, wanted: bool = True) -> tuple[AttackProbe, list[Pixels]]:
        seen: list[Pixels] = []

        def logits_of(images: Pixels) -> Logits:
            seen.append(images)
            return np.eye(2, dtype=np.float32)[[label] * len(images)]

        async def scene() -> AttackProbe:
            model = TimedModel(answering(logits_of), seconds=seconds)
            return await offer(probe, found, 0, spec, model, wanted=wanted)

        return asyncio.run(scene()), seen

    sent, seen = offered(1)
    np.testing.assert_array_equal(seen, [found[None]])
    file = sent.image_file()
    assert file is not None
    assert sent.meaning == f"It was found. {SENT}"
    held, _ = offered(0)
    assert (held.image, held.meaning) == (None, f"It was found. {NOT_AGAIN}")
    late, seen = offered(1, seconds=0)
    assert (late.image, late.meaning, seen) == (None, f"It was found. {NO_TIME}", [])
    unasked, seen = offered(1, wanted=False)
    assert (unasked.image, unasked.meaning, seen) == (None, f"It was found. {ASK_FOR_IT}", [])


def test_the_sizes_of_the_squares_follow_the_budget() -> None:
    few, many = Schedule.within(200, "linf"), Schedule.within(100_000, "linf")
    assert many == Schedule() == Schedule.within(200, "l2")
    assert few.side(0, 32, 32) == many.side(0, 32, 32) == round((0.8 * 32 * 32) ** 0.5)
    assert few.side(199, 32, 32) == many.side(199 * 10_000 // few.queries, 32, 32) < many.side(199, 32, 32)
    assert all(few.side(query, 32, 32) >= few.side(query + 1, 32, 32) >= 1 for query in range(200))


def test_less_than_a_step_leaves_nothing_to_try() -> None:
    for norm in NORMS:
        probe = run(MIDDLE, 0.001, norm=norm, eps=0.9 / 255)
        assert (probe.found, probe.queries, probe.lowest_margin) == (False, 0, 0.001)
        assert probe.statement == "no adversarial image found in 0 queries"
        assert "less than one 8-bit step" in probe.meaning


def test_a_budget_that_fills_no_chunk_is_kept() -> None:
    for queries in (1, 3):
        probe = run(MIDDLE, 1e3, queries=queries, chunk=8)
        assert (probe.queries, probe.statement) == (queries, f"no adversarial image found in {queries} queries")
        assert re.fullmatch(r"no adversarial image found in \d+ queries", probe.statement)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 8 / 255), ("l2", 0.5)])
def test_it_succeeds_about_as_often_as_the_torch_attack(norm: Norm, eps: float) -> None:
    """The same small network, queries and eps; the torch attack isn't bound to whole values."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(200, 4)
    ).eval()
    images = np.random.default_rng(2).integers(0, 256, (30, 16, 16, 3), dtype=np.uint8)
    as_tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        network[-1].bias -= network(as_tensor).mean(dim=0)  # so that images spread over the classes

    @torch.no_grad()
    def logits_of(batch: Pixels) -> Logits:
        answer: Logits = network(torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255).numpy()
        return answer

    labels = logits_of(images).argmax(axis=1)
    searches = [
        SquareSearch(image, label, norm=norm, eps=eps, generator=np.random.default_rng(number), schedule=SLOW)
        for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True))
    ]
    for _ in range(100):
        going = [search for search in searches if search.adversarial is None]
        answers = logits_of(np.concatenate([search.propose(1) for search in going]))
        for search, answer in zip(going, answers, strict=True):
            search.learn(answer[None])
    broken = sum(search.adversarial is not None for search in searches)
    generator = torch.Generator().manual_seed(0)
    found = square(network, as_tensor, torch.from_numpy(labels), norm=norm, eps=eps, queries=100, generator=generator)
    with torch.no_grad():
        broken_by_torch = int((network(found).argmax(dim=1).numpy() != labels).sum())
    assert 10 <= broken_by_torch <= 20
    assert abs(broken - broken_by_torch) <= 4
