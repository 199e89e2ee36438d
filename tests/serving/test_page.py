"""The page at / in a real browser, against a real server on the loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from bundles import INT8, image_bytes, linear_bundle
from loaded import open_service
from PIL import Image, ImageEnhance, ImageFilter
from playwright.sync_api import Browser, Page, expect, sync_playwright
from starlette.types import ASGIApp, Receive, Scope, Send

from hardener.config.answer import Prediction, Report
from serving.app import create_app
from serving.problem import Problem, ProblemResponse
from serving.settings import BundleSource

PATIENCE_MS = 60_000  # of a test that would fail in any case
expect.set_options(timeout=PATIENCE_MS)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")
ARGUMENTS = [
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
]
TOKEN = "a-token-of-the-tests"
# names that JSON.parse would bring into the order 3, 7, 9
CLASSES = ("9", "7", "3")
IMAGE = image_bytes(np.random.default_rng(1).integers(0, 256, (40, 30, 3), np.uint8))
CHANGES = {
    "noise": 0.1,
    "rotation": 20.0,
    "brightness": 1.4,
    "contrast": 0.5,
    "gray": None,
    "blur": 1.0,
    "jpeg": 30.0,
}
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
"""
CANVASES = """() => [...document.querySelectorAll("#pair canvas")]
  .flatMap((canvas) => [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data])"""
SMALLEST_CONTRAST = """() => {
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const read = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = read(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    throw Error("nothing behind");
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let found = [99, "", 0];
  for (let count = 1; texts.nextNode(); ) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.closest("option")) continue;
    const [a, b] = [light(read(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    found = ratio < found[0] ? [ratio, texts.currentNode.data, count] : [found[0], found[1], count];
    count++;
  }
  return found;
}"""


class Gate:
    """Stands before the service: asks for a token, and holds back reports, where a test says so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.token: str | None = None
        self.hold_reports = False
        self.left = threading.Event()  # the client of a held report went away

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        headers = dict(scope.get("headers", ()))
        wanted = f"Bearer {self.token}".encode()
        is_open = path in {"/", "/docs"} or (path.count(".") > 0 and path != "/openapi.json")
        if self.token and not is_open and headers.get(b"authorization") != wanted:
            await ProblemResponse(Problem(401, "the token is not known."))(scope, receive, send)
        elif self.hold_reports and b"report=true" in scope.get("query_string", b""):
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()
        else:
            await self._app(scope, receive, send)


@contextlib.contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an app on a free port of the loopback; yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        end = time.monotonic() + 60
        while not server.started and thread.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        assert server.started
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(timeout=60)
        listener.close()


@pytest.fixture(scope="module")
def gate_and_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gate, str]]:
    weights = np.random.default_rng(0).normal(size=(16, 16, 3, 3)).astype(np.float32)
    weights /= 8
    bundle = linear_bundle(tmp_path_factory.mktemp("bundle"), weights, (0, 0, 0), classes=CLASSES)
    with open_service(bundle) as service:
        gate = Gate(create_app(service))
        with served(gate) as url:
            yield gate, url


@pytest.fixture
def gate(gate_and_url: tuple[Gate, str]) -> Iterator[Gate]:
    gate = gate_and_url[0]
    yield gate
    gate.token, gate.hold_reports = None, False


@pytest.fixture(scope="module")
def url(gate_and_url: tuple[Gate, str]) -> str:
    return gate_and_url[1]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


Opener = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, url: str) -> Iterator[Opener]:
    """Open the page in a fresh window; at the end it has stayed at home, kept its policy and logged no error."""
    contexts, asked, logged, homes = [], [], [], ["data:image/"]
    home = url

    def open_it(*, script: str = "", permissions: tuple[str, ...] = (), url: str = home, **options: Any) -> Page:
        homes.extend((url, f"blob:{url}"))
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        context.grant_permissions(list(permissions))
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.on("console", lambda line: logged.append(line.text) if line.type in {"error", "warning"} else None)
        page.add_init_script(WATCH + script)
        page.goto(url)
        return page

    yield open_it
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("violations") == []
        context.close()
    assert [line for line in logged if not line.startswith("Failed to load resource")] == []
    assert [address for address in asked if not address.startswith(tuple(homes))] == []


def choose(page: Page, data: bytes = IMAGE, name: str = "image.png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": data})


def wait_for_report(page: Page) -> None:
    expect(page.locator("#report")).to_be_visible(timeout=PATIENCE_MS)


def predict(url: str, data: bytes = IMAGE) -> Prediction:
    answer = httpx.post(f"{url}predict", files={"image": ("image.png", data)}, timeout=60)
    return Prediction.model_validate_json(answer.content)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def full_report() -> Report:
    """A report with every part, on the answer 7."""
    kind = {"tried": [1.0, 2.0], "variants": 4, "unit": "strength", "meaning": "the meaning of a kind"}
    outcomes = dict.fromkeys(CHANGES, (1.0, "7", 0.5)) | {"blur": (0.5, "7", 0.3), "jpeg": (0.75, "3", 0.0001)}
    stability = {
        name: {**kind, "same_answer": same, "worst": {"parameter": CHANGES[name], "label": label, "confidence": left}}
        for name, (same, label, left) in outcomes.items()
    }
    training = {"q01": 20, "q25": 28, "median": 30, "q75": 32, "q99": 64}
    statistic = {"value": 30.0, "unit": "pixels, of the image as sent", "training": training, "unusual": False}
    return Report.model_validate(
        {
            "stability": stability,
            "certificate": {
                "radius": None, "abstained": True, "label": "3", "index": 2, "agrees_with_prediction": False,
                "noise_sigma": 0.25, "trained_with_this_noise": False, "selection_draws": 16, "draws": 100,
                "agreeing_draws": 50, "lower_bound": 0.4, "confidence": 0.999, "largest_possible_radius": 0.37,
                "meaning": "the meaning of the certificate",
            },
            "offline": {"evaluation": None, "meaning": "the meaning of no evaluation"},
            "attack": {
                "norm": "linf", "eps": 8 / 255, "queries": 200, "queries_allowed": 200, "found": False, "label": None,
                "lowest_margin": 0.25, "statement": "no adversarial image found in 200 queries",
                "meaning": "the meaning of the attack",
            },
            "margin": {"runner_up": "3", "logits": 1.5, "probability": 0.4, "meaning": "the meaning of the margin"},
            "input": dict.fromkeys(("height", "brightness", "contrast"), statistic)
            | {
                "width": statistic | {"value": 1283, "unusual": True},
                "noise": statistic | {"training": None, "unusual": None},
                "meaning": "the meaning of the input check",
            },
            "budget": {
                "allowed_s": 5, "draws_allowed": 100, "queries_allowed": 200, "spent_s": 5.02, "model_runs": 371,
                "cut_short": True,
            },
        }
    )  # fmt: skip


def put_report(report: Report) -> str:
    """A script that puts a report in the place of the one that the service answers."""
    return f"""
    const read = Response.prototype.json;
    Response.prototype.json = async function () {{
      const body = await read.call(this);
      return body.report ? {{...body, report: {report.model_dump_json()}}} : body;
    }};
    """


def test_an_uploaded_image_gets_the_answer_of_the_api(open_page: Opener, url: str) -> None:
    answer = predict(url)
    page = open_page()
    choose(page)
    expect(page.locator(".label")).to_have_text(answer.label)
    rows = page.locator("#prediction tr")
    sorted_shares = sorted(answer.probabilities.items(), key=lambda item: -item[1])
    expected = [f"{name}{percent(share)}" for name, share in sorted_shares]
    assert [name for name, _ in sorted_shares] not in (list(CLASSES), sorted(CLASSES))
    assert [text.replace("\u00a0", " ") for text in rows.all_text_contents()] == expected
    expect(page.locator("#status")).to_have_text(f"Answer: {answer.label}, confidence {percent(answer.confidence)}.")
    expect(page.locator("#prediction")).to_contain_text("It is not robustness")
    expect(page.locator("#model-line")).to_contain_text("ffffffffffff · CPUExecutionProvider · 3 classes")
    expect(page.locator("#offline")).to_contain_text("40.0 %")
    assert page.title() == "linear · hardener"


def test_the_page_takes_up_the_int8_file_of_the_same_run(open_page: Opener, tmp_path: Path) -> None:
    weights = np.zeros((16, 16, 3, 3), np.float32)
    first = linear_bundle(tmp_path / "bundle", weights, (1, 0, 0), classes=CLASSES)
    changes = {"quantization": INT8, "evaluation": None}
    second = linear_bundle(tmp_path / "bundle-int8", weights, (0, 1, 0), classes=CLASSES, changes=changes)
    current = tmp_path / "current"
    current.symlink_to(first)
    with open_service(BundleSource(current, "prod")) as service, served(create_app(service)) as url:
        page = open_page(url=url)
        choose(page)
        expect(page.locator(".label")).to_have_text("9")
        expect(page.locator("#offline")).to_contain_text("40.0 %")
        current.unlink()
        current.symlink_to(second)
        reload = threading.Thread(target=lambda: asyncio.run(service.reload()))
        reload.start()
        reload.join()
        choose(page, name="again.png")
        expect(page.locator(".label")).to_have_text("7")
        expect(page.locator("#model-line")).to_contain_text("ffffffffffff · int8 · CPUExecutionProvider")
        expect(page.locator("#offline")).to_contain_text("exported without an evaluation")


def test_a_class_with_a_comma_is_quoted_and_deep_models_name_tiff(open_page: Opener, url: str, tmp_path: Path) -> None:
    expect(open_page().locator("#formats")).to_have_text("JPEG, PNG, WebP or BMP")
    weights = np.zeros((16, 16, 1, 2), np.float32)
    changes = {"input": {"pixels": {"range": [0, 4095]}}}
    bundle = linear_bundle(tmp_path / "deep", weights, (1, 0), classes=("cat, the", "dog"), changes=changes)
    with open_service(bundle) as service, served(create_app(service)) as deep:
        page = open_page(url=deep)
        expect(page.locator("#formats")).to_have_text("JPEG, PNG, WebP, BMP or TIFF")
        assert '"cat, the", dog' in (page.locator("#facts").text_content() or "")


def test_the_report_is_shown_with_its_meanings(open_page: Opener) -> None:
    page = open_page()
    choose(page)
    page.get_by_role("button", name="Ask for the robustness report").click()
    wait_for_report(page)
    answer = json.loads(page.locator("#json").text_content() or "")
    report = Prediction.model_validate(answer).report
    assert report is not None
    noise = report.stability.noise
    assert noise.same_answer is not None
    expect(page.locator("#kind-noise .big")).to_have_text(f"{round(noise.same_answer * 16)} of 16")
    shown = page.locator("#report").text_content() or ""
    for part in (report.certificate, noise, report.stability.rotation, report.stability.contrast):
        assert part.meaning in shown
    expect(page.locator("#offline")).to_contain_text(report.offline.meaning)
    expect(page.locator("#status")).to_contain_text("The report is there. In ")


def test_the_worst_variation_is_made_again_as_the_service_makes_it(open_page: Opener) -> None:
    rows, columns = np.mgrid[:16, :16]
    image = np.stack([rows * 16, columns * 16, 255 - 8 * rows - 7 * columns], axis=-1).astype(np.uint8)
    pillow = Image.fromarray(image)
    expected = {
        "noise": image,
        "rotation": pillow.rotate(20, resample=Image.Resampling.BILINEAR),
        "brightness": ImageEnhance.Brightness(pillow).enhance(1.4),
        "contrast": ImageEnhance.Contrast(pillow).enhance(0.5),
        "gray": pillow.convert("L").convert("RGB"),
        "blur": pillow.filter(ImageFilter.GaussianBlur(1)),
        "jpeg": pillow,
    }
    page = open_page(script=put_report(full_report()))
    choose(page, image_bytes(image))
    expect(page.locator(".label")).to_be_visible()
    page.click("#ask-report")
    wait_for_report(page)
    caption = page.locator("#pair figcaption").nth(1)
    expect(caption).to_contain_text("JPEG at 30: ")  # the kind that leaves the least confidence
    for kind, wanted in expected.items():
        page.select_option("#kind", kind)
        expect(caption).to_contain_text("JPEG" if kind == "jpeg" else kind.title())
        shown = np.array(page.evaluate(CANVASES), np.float64).reshape(2, 16, 16, 4)[..., :3]
        assert np.array_equal(shown[0], image)
        difference = np.abs(shown[1] - np.asarray(wanted, np.float64))
        if kind == "noise":  # clipping at 0 and 255 keeps some of its deviation away
            assert 0.6 * 25.5 < np.sqrt((difference**2).mean()) < 1.1 * 25.5
        else:
            typical = {"rotation": 6.0, "blur": 3.0, "jpeg": 12.0}.get(kind, 1.0)
            assert np.median(difference) <= typical, kind
            assert kind != "jpeg" or difference.max() > 0
            assert kind in {"rotation", "blur", "jpeg"} or difference.max() <= 1, kind
    expect(page.locator("#pair")).to_contain_text("Re-created in your browser from the parameter in the report")
    page.select_option("#kind", "noise")
    expect(page.locator("#pair")).to_contain_text("the model saw another draw")


def test_a_full_report_is_shown_in_its_own_words(open_page: Opener) -> None:
    page = open_page(script=put_report(full_report()))
    choose(page)
    page.click("#ask-report")
    wait_for_report(page)
    report = page.locator("#report")
    expect(page.locator("#attack-statement")).to_have_text("no adversarial image found in 200 queries")
    expect(page.locator("#summary")).to_contain_text("In 5 of 7 kinds of everyday change")
    for kind, words in (
        ("noise", "✓ same answer"),
        ("blur", "same answer, but 2 other copies got another"),
        ("jpeg", "▲ taken for “3”"),
    ):
        expect(page.locator(f"#kind-{kind}")).to_contain_text(words)
    for words in (
        "No radius was certified.", "abstained: nothing certified", "The smoothed classifier answers “3” instead.",
        "The model was not trained with this noise.", "Width 1,283 px: 98 % of the training images have 20 to 64 px.",
        "The bundle has no statistics of the training images.", "1.5 logits", "The time ran out",
        "5.02 of the 5 s allowed, 371 runs of the model", "the meaning of the attack", "the meaning of the margin",
        "the meaning of the input check", "the meaning of the certificate",
    ):  # fmt: skip
        expect(report).to_contain_text(words)
    charts = report.get_by_role("img").all()
    assert len(charts) == 2 + 1 + 4  # two canvases, the attack's line, four statistics with a range
    assert all(chart.get_attribute("aria-label") for chart in charts)
    expect(page.locator("#offline")).to_have_text("the meaning of no evaluation")


def test_the_image_that_the_attack_found_is_shown_and_can_be_saved(open_page: Opener, tmp_path: Path) -> None:
    report = full_report()
    report.attack.found, report.attack.label = True, "3"
    report.attack.image = base64.b64encode(IMAGE).decode()
    page = open_page(script=put_report(report))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    choose(page)
    page.click("#ask-report")
    wait_for_report(page)
    assert any("found_image=true" in address for address in asked)
    shown = page.locator("#found-image img")
    expect(shown).to_have_attribute("alt", re.compile("taken for “3” in place of"))
    shape = shown.evaluate("async (image) => (await image.decode(), [image.naturalWidth, image.naturalHeight])")
    assert tuple(shape) == Image.open(io.BytesIO(IMAGE)).size
    with page.expect_download() as download:
        page.click("#found-image a")
    assert Path(download.value.path()).read_bytes() == IMAGE
    assert download.value.suggested_filename == "found.png"
    assert f"({len(report.attack.image):,} characters of base64)" in (page.locator("#json").text_content() or "")
    assert "found_image" not in (page.locator("#curl").text_content() or "")


def test_with_report_asks_for_both_at_once(open_page: Opener) -> None:
    page = open_page()
    page.get_by_label("with robustness report").check()
    page.get_by_text("Limits of the report").click()
    page.get_by_label("Noise draws of the certificate").fill("0")  # out of range: the service says so
    choose(page)
    expect(page.get_by_role("alert")).to_contain_text("draws must be a whole number, at least 1; got 0")
    expect(page.locator(".label")).to_be_visible()
    page.get_by_label("Noise draws of the certificate").fill("")
    page.get_by_label("Seconds").fill("9.5")
    choose(page)
    wait_for_report(page)
    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.locator("#curl")).to_contain_text("predict?report=true&budget_s=9.5")


def test_errors_are_told_in_the_services_words(open_page: Opener, url: str) -> None:
    problem = httpx.post(f"{url}predict", files={"image": ("a.txt", b"no image")}).json()
    page = open_page()
    choose(page, b"no image", "a.txt")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(problem["title"])
    expect(alert).to_contain_text(problem["detail"])
    assert alert.get_by_role("button").count() == 0  # the same file would be refused again
    choose(page)
    expect(page.locator(".label")).to_be_visible()
    expect(alert).to_be_empty()


def test_a_service_that_is_gone_is_told_and_may_be_asked_again(open_page: Opener) -> None:
    page = open_page()
    expect(page.locator("#about")).to_be_visible()
    page.context.set_offline(True)
    choose(page)
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".label")).to_be_visible()


def test_a_token_is_asked_for_and_kept_for_the_tab(open_page: Opener, gate: Gate) -> None:
    gate.token = TOKEN
    page = open_page()
    field = page.get_by_label("Token", exact=True)
    expect(field).to_be_focused()
    choose(page)
    field.fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("the token is not known.")
    field.fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator(".label")).to_be_visible()
    expect(page.locator("#token-box")).to_be_hidden()
    expect(page.locator("#curl")).to_contain_text('-H "Authorization: Bearer $TOKEN"')
    assert TOKEN not in page.content()
    page.get_by_role("link", name="OpenAPI").click()
    expect(page.locator("#document")).to_contain_text('"openapi"')
    page.reload()
    expect(page.locator("#about")).to_be_visible()
    assert page.evaluate("localStorage.length") == 0


def test_everything_is_done_with_the_keyboard(open_page: Opener) -> None:
    page = open_page()
    page.on("filechooser", lambda chooser: None)  # the browser hands choosers over from here on, not only from below
    expect(page.locator("#about")).to_be_visible()

    def tab_to(name: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent.trim()") == name:
                ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert ring == "solid"
                return
        pytest.fail(f"Tab does not reach {name!r}")

    tab_to("Choose a file")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files({"name": "image.png", "mimeType": "image/png", "buffer": IMAGE})
    expect(page.locator(".label")).to_be_visible()
    tab_to("Ask for the robustness report")
    page.keyboard.press("Enter")
    wait_for_report(page)
    expect(page.locator("#report-title")).to_be_focused()
    tab_to("Meaning and limits")
    page.keyboard.press("Enter")
    expect(page.locator("#report details[open]")).to_have_count(1)
    tab_to("Copy the command")


def test_a_report_is_cancelled_and_the_service_notices(open_page: Opener, gate: Gate) -> None:
    gate.hold_reports = True
    page = open_page()
    choose(page)
    expect(page.locator("#ask-report")).to_be_visible()
    page.locator("#ask-report").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#busy-text")).to_contain_text("The report runs: ")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_have_text("Cancelled.")
    expect(page.locator("#ask-report")).to_be_focused()
    expect(page.locator("#busy")).to_be_hidden()
    assert gate.left.wait(60)


def test_a_later_image_takes_the_place_of_an_earlier_ones_report(open_page: Opener, gate: Gate, url: str) -> None:
    other = image_bytes(np.random.default_rng(8).integers(0, 256, (16, 16, 3), np.uint8))
    gate.hold_reports = True
    page = open_page()
    choose(page)
    page.click("#ask-report")
    choose(page, other, "other.png")
    expect(page.locator("#preview-name")).to_have_text("other.png")
    expect(page.locator(".label")).to_have_text(predict(url, other).label)
    expect(page.locator("#busy")).to_be_hidden()
    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.locator("#report")).to_be_hidden()


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_an_image_may_be_dropped_or_pasted(open_page: Opener, way: str) -> None:
    page = open_page()
    page.evaluate(
        """([way, text]) => {
          const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], "brought.png", { type: "image/png" }));
          const event = way === "drop" ? new DragEvent(way, { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent(way, { clipboardData: data, bubbles: true });
          document.body.dispatchEvent(event);
        }""",
        [way, base64.b64encode(IMAGE).decode()],
    )
    expect(page.locator(".label")).to_be_visible()
    expect(page.locator("#preview-name")).to_have_text("brought.png")


def test_the_camera_takes_a_picture(open_page: Opener) -> None:
    page = open_page(permissions=("camera",))
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("button", name="Take the picture")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".label")).to_be_visible()
    expect(page.locator("#preview-name")).to_have_text("camera.jpg")
    expect(page.locator("#camera")).to_be_hidden()
    assert page.evaluate("document.getElementById('video').srcObject") is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("", "The camera was refused."),
        ("Object.defineProperty(navigator, 'mediaDevices', { value: undefined });", "only to pages on https"),
        (
            "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError'); };",
            "There is no camera on this device.",
        ),
    ],
)
def test_a_camera_that_cannot_be_used_is_explained(open_page: Opener, script: str, words: str) -> None:
    page = open_page(script=script)
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("alert")).to_contain_text(words)
    expect(page.locator("#camera")).to_be_hidden()


def test_one_of_several_models_is_chosen(open_page: Opener, tmp_path: Path) -> None:
    blank = np.zeros((16, 16, 3, 12), np.float32)
    many = [f"class-{index}" for index in range(12)]
    first = linear_bundle(tmp_path / "first", blank[..., :2], (1, 0), classes=("cat", "dog"))
    second = linear_bundle(tmp_path / "second", blank, range(12), classes=many)
    with (
        open_service(BundleSource(first, "first"), BundleSource(second, "second")) as service,
        served(create_app(service)) as url,
    ):
        page = open_page(url=url)
        select = page.get_by_label("Model", exact=True)
        expect(select).to_have_value("first")
        choose(page)
        expect(page.locator(".label")).to_have_text("cat")
        expect(page.locator("#curl")).to_have_text(f"curl -F 'image=@image.png' '{url}predict?model=first'")
        select.select_option("second")
        expect(page.locator("#title")).to_have_text("Ask second about an image")
        expect(page.locator(".label")).to_have_text("class-11")
        expect(page.locator("#prediction tr").last).to_contain_text("7 other classes")
        shares = json.loads(page.locator("#json").text_content() or "")["probabilities"]
        rest = 1 - sum(sorted(shares.values())[-5:])
        expect(page.locator("#prediction tr").last).to_contain_text(percent(rest))


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_shown_command_does_the_same(open_page: Opener, tmp_path: Path) -> None:
    name = 'it\'s; a "name", with spaces.png'
    (tmp_path / name).write_bytes(IMAGE)
    page = open_page()
    choose(page, name=name)
    expect(page.locator("#repeat")).to_be_visible()
    shown = json.loads(page.locator("#json").text_content() or "")
    command = shlex.split(page.locator("#curl").text_content() or "")
    assert command[0] == "curl"
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    done = subprocess.run([*command, "-s"], cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == shown


@pytest.mark.parametrize("width", [320, 360, 640])
def test_a_narrow_window_needs_no_sideways_scrolling(open_page: Opener, width: int) -> None:
    """640 is what is left of 1280 at 200 % zoom."""
    page = open_page(script=put_report(full_report()), viewport={"width": width, "height": 700})
    choose(page)
    page.click("#ask-report")
    wait_for_report(page)
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(open_page: Opener, scheme: str) -> None:
    page = open_page(script=put_report(full_report()), color_scheme=scheme, reduced_motion="reduce")
    page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"no image"})
    expect(page.get_by_role("alert")).not_to_be_empty()
    refused, _, _ = page.evaluate(SMALLEST_CONTRAST)
    choose(page)
    page.click("#ask-report")
    wait_for_report(page)
    smallest, text, texts = page.evaluate(SMALLEST_CONTRAST)
    assert texts > 80
    assert min(smallest, refused) >= 4.5, text
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 25, 31)"}[scheme]
    assert page.evaluate("getComputedStyle(document.querySelector('.pulse')).animationName") == "none"


def test_the_interface_is_shown_and_its_commands_work(open_page: Opener, gate: Gate, url: str, tmp_path: Path) -> None:
    gate.token = "secret"
    page = open_page(viewport={"width": 500, "height": 800})
    page.goto(f"{url}docs")
    page.get_by_label("The service asks for a token").fill("secret")
    page.get_by_role("button", name="Use it").click()
    document = httpx.get(f"{url}openapi.json", headers={"Authorization": "Bearer secret"}).json()
    gate.token = None
    for path in document["paths"]:
        if path.endswith((".css", ".js")):
            continue
        expect(page.get_by_role("link", name=path, exact=True)).to_be_visible()
    for schema in document["components"]["schemas"]:
        expect(page.locator(f"#schema-{schema}")).to_be_visible()
    for anchor in page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map((link) => link.hash)"):
        expect(page.locator(anchor)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    command = page.locator("#path-predict pre").first.inner_text()
    (tmp_path / "cat.jpg").write_bytes(IMAGE)
    told = subprocess.run(["sh", "-c", f"{command} -s"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["label"]


def test_the_page_may_load_nothing_from_elsewhere(url: str) -> None:
    files = {"": "text/html", "page.css": "text/css", "page.js": "javascript"}
    for name, kind in (files | {"docs": "text/html", "docs.css": "text/css", "docs.js": "javascript"}).items():
        answer = httpx.get(url + name)
        assert kind in answer.headers["content-type"]
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert "http" not in answer.text.replace("http://www.w3.org/2000/svg", "").replace("https", "")
