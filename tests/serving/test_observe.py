"""What is seen from outside: request ids, metrics, log lines, spans."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from bentoml._internal.utils.telemetry import ParentBasedTraceIdRatio
from bundles import image_bytes, linear_bundle
from loaded import open_service, send
from loaded import talk as talk_to
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util.http import parse_excluded_urls
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from hardener.config.answer import (
    AttackProbe,
    Certificate,
    InputCheck,
    InputStatistic,
    Margin,
    ModelName,
    OfflineFigures,
    Prediction,
    Report,
    ReportBudget,
    Stability,
    StabilityReport,
)
from hardener.errors import HardenerError
from serving.access import Access, Rate, tokens_from_text
from serving.app import create_app
from serving.log import RequestLog, format_json, format_text
from serving.metrics import Metrics, unstable_signs
from serving.notes import notes_of
from serving.observe import GAUGES_AFTER_S, Observer, check_tracing, span, tracing_options
from serving.problem import Problem, ProblemResponse
from serving.service_state import ServiceState
from serving.settings import BundleSource

ROOT = Path(__file__).parents[2]
ROUTES = ("/predict", "/model", "/metrics")
TOKEN = "very-secret-token"
WEIGHTS = np.random.default_rng(0).normal(size=(8, 8, 3, 2)).astype(np.float32)
PNG = image_bytes(np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8))


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """Does what the path says."""
    request = Request(scope, receive)
    body = await request.body()
    if scope["path"] == "/predict":
        notes_of(scope).model = "flowers"
        await JSONResponse({"bytes": len(body)})(scope, receive, send)
    elif scope["path"] == "/fault":
        raise RuntimeError("the lane is broken")
    elif scope["path"] == "/late-fault":
        await StreamingResponse(iter([b"begun"]))(scope, receive, send)
        raise RuntimeError("too late")
    elif scope["path"] == "/metrics":
        await ProblemResponse(Problem(503, "too many images wait.", retry_after_s=1))(scope, receive, send)
    else:
        await ProblemResponse(Problem(404, f"there is no {scope['path']}."))(scope, receive, send)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linear_bundle(tmp_path_factory.mktemp("bundle"), WEIGHTS, (0, 0))


class Lines:
    """A log that keeps its lines in memory, read as JSON once it is closed."""

    def __init__(self, form: Any = "json") -> None:
        self.data = b""
        self.log = RequestLog(form, write=self.write)

    def write(self, data: bytes) -> None:
        self.data += data

    def read(self) -> list[dict[str, Any]]:
        self.log.close()
        return [json.loads(line) for line in self.data.decode().splitlines()]


def talk(app: ASGIApp, *requests: dict[str, Any]) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://hardener") as client:
            return [await client.request(**{"method": "GET", **request}) for request in requests]

    return asyncio.run(run())


def observed(metrics: Metrics | None = None, log: RequestLog | None = None, app: ASGIApp = inner) -> Observer:
    return Observer(app, metrics=metrics or Metrics(), routes=dict.fromkeys(ROUTES, True), log=log)


def get(path: str, **headers: str) -> dict[str, Any]:
    return {"url": path, "headers": headers}


def test_a_sane_request_id_comes_back_and_any_other_is_replaced() -> None:
    sane = ["a", "A-b_c.9", "x" * 128]
    other = ["", "x" * 129, "a b", "a\tb", "<script>", "a/b", "id;x"]
    answers = talk(observed(), *(get("/predict", **{"X-Request-Id": value}) for value in [*sane, *other]))
    found = [answer.headers["x-request-id"] for answer in answers]
    assert found[: len(sane)] == sane
    made = found[len(sane) :]
    assert len(set(made)) == len(other)
    assert all(len(value) == 32 and set(value) <= set("0123456789abcdef") for value in made)


def test_every_answer_has_one_request_id_refusals_and_faults_too() -> None:
    known = tokens_from_text(f"a {'0' * 64}", source="a test")
    app = observed(app=Access(inner, tokens=known, open_paths={"/page.css"}))
    answers = talk(app, get("/predict"), get("/page.css"))
    answers += talk(observed(), get("/fault"), get("/nothing"))
    assert [answer.status_code for answer in answers] == [401, 404, 500, 404]
    assert {len(answer.headers.get_list("x-request-id")) for answer in answers} == {1}


def test_a_fault_becomes_a_problem_and_its_traceback_stays_in_the_log() -> None:
    lines = Lines()
    (answer,) = talk(observed(log=lines.log), get("/fault"))
    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "lane" not in answer.text
    (line,) = lines.read()
    assert (line["level"], line["error"]) == ("error", "RuntimeError: the lane is broken")
    assert line["traceback"].startswith("Traceback (most recent call last)")


def test_a_fault_after_the_answer_began_ends_in_the_log() -> None:
    lines = Lines()
    (answer,) = talk(observed(log=lines.log), get("/late-fault"))
    assert answer.text == "begun"
    (line,) = lines.read()
    assert (line["status"], line["error"]) == (200, "RuntimeError: too late")


def test_a_line_a_request_says_who_what_and_how_long() -> None:
    lines = Lines()
    known = tokens_from_text(f"alice {hashlib.sha256(TOKEN.encode()).hexdigest()}", source="a test")
    app = observed(log=lines.log, app=Access(inner, tokens=known))
    upload = {
        "method": "POST",
        "url": "/predict?report=true&password=in-the-query",
        "content": b"pixels" * 1000,
        "headers": {"Authorization": f"Bearer {TOKEN}", "X-Request-Id": "mine", "Cookie": "session=cookie-secret"},
    }
    (answer,) = talk(app, upload)
    (line,) = lines.read()
    assert line.pop("time").endswith("Z")
    assert line.pop("ms") >= 0
    assert line == {
        "level": "info",
        "request_id": "mine",
        "method": "POST",
        "route": "/predict",
        "status": 200,
        "bytes_in": 6000,
        "bytes_out": len(answer.content),
        "client": "127.0.0.1",
        "token": "alice",
        "model": "flowers",
    }
    for secret in (TOKEN, "cookie-secret", "in-the-query", "pixels"):
        assert secret not in lines.data.decode()


def test_a_problem_s_detail_is_in_its_line() -> None:
    lines = Lines()
    talk(observed(log=lines.log), get("/metrics"), get("/nothing"))
    busy, missing = lines.read()
    assert (busy["level"], busy["status"], busy["error"]) == ("warning", 503, "too many images wait.")
    assert (missing["level"], missing["route"], missing["path"]) == ("info", "unknown", "/nothing")
    assert missing["error"] == "there is no /nothing."


def test_health_probes_are_counted_and_logged_only_when_they_fail(bundle: Path) -> None:
    lines = Lines()

    async def converse() -> None:
        transport = httpx.ASGITransport(create_app(service, log=lines.log))
        async with httpx.AsyncClient(transport=transport, base_url="http://hardener") as client:
            assert (await client.get("/readyz")).status_code == 200
            assert (await client.post("/readyz")).status_code == 405

    with open_service(bundle) as service:
        asyncio.run(converse())
        assert sample(service.metrics, "hardener_requests_total", route="/readyz", status="200") == 1
    assert [line["status"] for line in lines.read()] == [405]


def test_a_request_that_is_cancelled_from_outside_is_counted_as_late() -> None:
    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def nothing(*message: Any) -> Any: ...

    async def run() -> None:
        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": []}
        task = asyncio.ensure_future(observed(metrics, lines.log, stuck)(scope, nothing, nothing))
        await asyncio.sleep(0)
        await asyncio.sleep(2 * GAUGES_AFTER_S)
        assert metrics.registry.get_sample_value("hardener_requests_in_flight") == 1
        task.cancel()
        await asyncio.wait({task})
        await asyncio.sleep(2 * GAUGES_AFTER_S)

    metrics, lines = Metrics(), Lines()
    asyncio.run(run())
    assert metrics.registry.get_sample_value("hardener_requests_in_flight") == 0
    late = {"route": "/predict", "status": "504"}
    assert metrics.registry.get_sample_value("hardener_requests_total", late) == 1
    assert lines.read()[0]["status"] == 504


def fields(**changes: Any) -> dict[str, Any]:
    known = {"time": 0.0, "level": "info", "method": "POST", "route": "/predict", "status": 200, "ms": 12.345}
    return known | {"request_id": "mine", "token": None, "model": "flowers", "error": None, "path": None} | changes


def test_a_json_line_leaves_out_what_is_not_known_and_bounds_what_a_client_chose() -> None:
    line = json.loads(format_json(fields(path="/" + "x" * 5000, route="unknown")))
    assert line["time"] == "1970-01-01T00:00:00.000Z"
    assert not {"token", "error", "traceback"} & set(line)
    assert len(line["path"]) == 500


def test_a_text_line_is_one_line_whatever_a_client_sent() -> None:
    line = format_text(fields(path="/a\n12:00:00 200 GET /forged \x1b[2J\u202e", route="unknown", error="bad\rline"))
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert "200 POST /a?12:00:00" in line
    assert "12.3 ms model=flowers request_id=mine" in line
    assert format_text(fields(error="E", traceback="Traceback:\n  x\n")).endswith("E\nTraceback:\n  x\n")


def test_a_reader_who_takes_nothing_stops_no_request_and_loses_counted_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.log._MOST_LINES", 10)
    reading, stuck = threading.Event(), threading.Event()
    lost: list[int] = []

    def write(data: bytes) -> None:
        stuck.set()
        reading.wait()

    log = RequestLog(write=write, on_lost=lost.append)
    log.add(fields())
    assert stuck.wait(60)
    for _ in range(25):
        log.add(fields())
    assert sum(lost) == 15
    reading.set()
    log.close()


def test_a_full_disk_loses_lines_and_says_how_many() -> None:
    lost: list[int] = []

    def write(data: bytes) -> None:
        raise OSError(28, "No space left on device")

    log = RequestLog(write=write, on_lost=lost.append)
    for _ in range(100):
        log.add(fields())
    log.close()
    assert sum(lost) == 100


def test_lines_travel_whole_in_pieces_that_a_pipe_takes_at_once() -> None:
    pieces: list[bytes] = []
    log = RequestLog(write=pieces.append)
    for number in range(500):
        log.add(fields(request_id=str(number)))
    log.close()
    assert [json.loads(line)["request_id"] for line in b"".join(pieces).splitlines()] == [str(n) for n in range(500)]
    assert all(len(piece) <= 4096 and piece.endswith(b"\n") for piece in pieces)
    assert len(pieces) < 50


def test_the_other_loggers_can_be_made_to_write_json() -> None:
    script = (
        "import logging, sys\n"
        "from serving.log import log_all_as_json\n"
        "logging.basicConfig(stream=sys.stdout, level='INFO')\n"
        "log_all_as_json()\n"
        "logging.getLogger('circus').warning('a %s', 'line')\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: logging.getLogger('bentoml').exception('it failed')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["level"], first["logger"], first["message"]) == ("warning", "circus", "a line")
    assert "ZeroDivisionError" in second["traceback"]


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_unknown_paths_share_one_series() -> None:
    metrics = Metrics()
    talk(observed(metrics), *(get(f"/random-{number}") for number in range(20)), get("/predict"))
    assert sample(metrics, "hardener_requests_total", route="unknown", status="404") == 20
    assert sample(metrics, "hardener_requests_total", route="/predict", status="200") == 1
    assert sample(metrics, "hardener_request_seconds_count", route="/predict") == 1
    assert "random" not in metrics.render().decode()


def stability(same_answer: float | None) -> Stability:
    return Stability(unit=None, tried=[], variants=4, same_answer=same_answer, worst=None, meaning="")


def prediction(
    *, radius: float | None = 0.2, agrees: bool = True, lowest: float | None = 1.0, found: bool | None = None
) -> Prediction:
    kinds = ("noise", "rotation", "brightness", "contrast", "blur", "jpeg")
    attack = AttackProbe(norm="linf", eps=0.03, queries=9, queries_allowed=9, found=found, label=None,
                         lowest_margin=0.0, statement="", meaning="")  # fmt: skip
    certificate = Certificate(radius=radius, abstained=radius is None, label="cat", index=0, noise_sigma=0.25,
                              agrees_with_prediction=agrees, trained_with_this_noise=True, selection_draws=16,
                              draws=100, agreeing_draws=99, lower_bound=0.9, confidence=0.999,
                              largest_possible_radius=0.37, meaning="")  # fmt: skip
    nothing = InputStatistic(value=0.0, unit="", training=None, unusual=None)
    report = Report(
        stability=StabilityReport(gray=stability(lowest), **{kind: stability(1.0) for kind in kinds}),
        certificate=certificate,
        offline=OfflineFigures(evaluation=None, meaning=""),
        attack=attack,
        margin=Margin(runner_up="dog", logits=1.0, probability=0.5, meaning=""),
        input=InputCheck(
            width=nothing, height=nothing, brightness=nothing, contrast=nothing, noise=nothing, meaning=""
        ),
        budget=ReportBudget(allowed_s=9, draws_allowed=9, queries_allowed=9, spent_s=1, model_runs=9, cut_short=False),
    )
    model = ModelName(name="flowers", fingerprint="f")
    return Prediction(label="cat", index=0, confidence=1.0, probabilities={"cat": 1.0}, model=model, report=report)


def test_plain_answers_count_as_images_alone() -> None:
    metrics = Metrics()
    metrics.note_prediction(prediction().model_copy(update={"report": None}))
    assert sample(metrics, "hardener_images_total", model="flowers") == 1
    assert sample(metrics, "hardener_reports_total", model="flowers") is None


def test_the_mean_certified_radius_leaves_abstentions_out() -> None:
    metrics = Metrics()
    for radius in (0.1, 0.3, None):
        metrics.note_prediction(prediction(radius=radius))
    assert sample(metrics, "hardener_reports_total", model="flowers") == 3
    assert sample(metrics, "hardener_abstentions_total", model="flowers") == 1
    assert sample(metrics, "hardener_certified_radius_count", model="flowers") == 2
    assert sample(metrics, "hardener_certified_radius_sum", model="flowers") == pytest.approx(0.4)
    assert sample(metrics, "hardener_certified_radius_bucket", model="flowers", le="0.15") == 1


@pytest.mark.parametrize(
    ("changes", "signs"),
    [
        ({}, []),
        ({"lowest": 0.5}, []),
        ({"lowest": 0.49}, ["variations"]),
        ({"lowest": None}, []),
        ({"agrees": False}, ["smoothing"]),
        ({"agrees": False, "radius": None}, []),  # an abstaining certificate is certain of nothing
        ({"found": False}, []),
        ({"found": True}, ["attack"]),
        ({"found": True, "lowest": 0.0, "agrees": False}, ["variations", "smoothing", "attack"]),
    ],
)
def test_signs_of_an_unstable_answer_are_counted_once_a_report(changes: dict[str, Any], signs: list[str]) -> None:
    metrics, answer = Metrics(), prediction(**changes)
    assert answer.report is not None
    assert unstable_signs(answer.report) == signs
    metrics.note_prediction(answer)
    assert sample(metrics, "hardener_unstable_reports_total", model="flowers") == (1 if signs else None)
    for sign in signs:
        assert sample(metrics, "hardener_unstable_signs_total", model="flowers", sign=sign) == 1


def test_what_waits_is_asked_soon_after_a_request_and_at_each_scrape() -> None:
    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(observed(metrics)), base_url="http://h") as client:
            await client.get("/predict")
        await asyncio.sleep(2 * GAUGES_AFTER_S)

    metrics, waiting = Metrics(), {"plain": 3, "report": 1}
    metrics.watch_queues(lambda: waiting)
    asyncio.run(run())
    assert sample(metrics, "hardener_waiting_images", kind="plain") == 3
    waiting["plain"] = 0
    assert 'hardener_waiting_images{kind="plain"} 0.0' in metrics.render().decode()
    assert sample(metrics, "hardener_waiting_images", kind="report") == 1


def test_a_model_that_is_no_longer_served_falls_to_zero() -> None:
    metrics = Metrics()
    old, new = ("flowers", "a" * 64, "CPU", "c", "none"), ("flowers", "b" * 64, "CPU", "d", "int8")
    metrics.show_models([old])
    metrics.show_models([new])
    values = [
        sample(
            metrics,
            "hardener_model_info",
            model=name,
            fingerprint=fingerprint,
            provider=provider,
            file=file,
            quantization=quantization,
        )
        for name, fingerprint, provider, file, quantization in (old, new)
    ]
    assert values == [0, 1]


def test_decode_errors_are_there_from_the_start_by_kind() -> None:
    metrics = Metrics()
    metrics.note_decode_error(422)
    found = {kind: sample(metrics, "hardener_decode_errors_total", kind=kind) for kind in ("too_large", "format")}
    assert found == {"too_large": 0, "format": 0}
    assert sample(metrics, "hardener_decode_errors_total", kind="damaged") == 1


def test_a_process_alone_shows_itself_as_the_one_worker() -> None:
    lines = Metrics().render().decode().splitlines()
    assert "hardener_workers 1.0" in lines
    if Path("/proc/self/statm").exists():
        (memory,) = [line for line in lines if line.startswith("hardener_worker_memory_bytes{")]
        assert memory.startswith(f'hardener_worker_memory_bytes{{pid="{os.getpid()}"}}')
        assert float(memory.split()[1]) > 1e6


WORKER = """
import sys
from serving.metrics import Metrics
metrics = Metrics()
metrics.note_request("/predict", 200, 0.02)
metrics.in_flight += 1
metrics.watch_queues(lambda: {"plain": 2, "report": 0})
metrics.show_models([("flowers", "a", "CPU", "c", "none")])
metrics.write_gauges()
print("ready", flush=True)
sys.stdin.readline()
print(metrics.render().decode(), flush=True)
sys.stdin.readline()
"""


def test_whichever_worker_is_asked_adds_up_all_and_forgets_what_a_dead_one_had_in_flight(tmp_path: Path) -> None:
    environment = dict(os.environ) | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def worker() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORKER]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)

    def ask(process: subprocess.Popen[str]) -> list[str]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        lines = []
        while line := process.stdout.readline().strip():
            lines.append(line)
        return lines

    workers = [worker() for _ in range(3)]
    try:
        for process in workers:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        lines = ask(workers[0])
        assert "hardener_workers 3.0" in lines
        assert 'hardener_requests_total{route="/predict",status="200"} 3.0' in lines
        assert "hardener_requests_in_flight 3.0" in lines
        assert 'hardener_waiting_images{kind="plain"} 6.0' in lines
        labels = 'file="c",fingerprint="a",model="flowers",provider="CPU",quantization="none"'
        assert f"hardener_model_info{{{labels}}} 1.0" in lines
        workers[2].kill()
        workers[2].wait()
        lines = ask(workers[1])
        assert "hardener_workers 2.0" in lines
        assert 'hardener_requests_total{route="/predict",status="200"} 3.0' in lines
        assert "hardener_requests_in_flight 2.0" in lines
    finally:
        for process in workers:
            process.kill()
            process.communicate()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Callable[[], Any], InMemorySpanExporter]]:
    """A tracer provider of this test alone, as BentoML's middleware would have it, and what it exported."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("opentelemetry.trace.get_tracer", provider.get_tracer)
    yield lambda: provider.get_tracer("a test").start_as_current_span("GET"), exporter
    provider.shutdown()


def test_a_traced_request_carries_route_status_and_id_and_its_parts_are_below_it(
    spans: tuple[Callable[[], Any], InMemorySpanExporter],
) -> None:
    start, exporter = spans
    lines = Lines()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with start(), span("decode"):
            pass
        await inner(scope, receive, send)

    async def traced(scope: Scope, receive: Receive, send: Send) -> None:
        with start():
            await observed(log=lines.log)(scope, receive, send)

    (answer,) = talk(traced, get("/predict", **{"X-Request-Id": "mine"}))
    assert answer.status_code == 200
    (request,) = exporter.get_finished_spans()
    assert request.name == "GET /predict"
    assert dict(request.attributes or {}) == {
        "http.route": "/predict",
        "http.response.status_code": 200,
        "hardener.request_id": "mine",
        "client.address": "127.0.0.1",
        "hardener.model": "flowers",
    }
    assert request.context is not None
    assert lines.read()[0]["trace_id"] == f"{request.context.trace_id:032x}"
    exporter.clear()
    talk(app, get("/predict"))
    decode, parent = exporter.get_finished_spans()
    assert decode.name == "decode"
    assert decode.parent is not None
    assert parent.context is not None
    assert decode.parent.span_id == parent.context.span_id


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Span]]]:
    """An OTLP endpoint on loopback, and the spans that came there."""
    came: list[Span] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                came.extend(span for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", came
        server.shutdown()


def test_a_prediction_s_spans_arrive_at_a_collector(
    bundle: Path, collector: tuple[str, list[Span]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The middleware, the sampler and the exporter are those that BentoML makes of `tracing_options`."""
    endpoint, came = collector
    options = tracing_options(endpoint)
    provider = TracerProvider(sampler=ParentBasedTraceIdRatio(options["sample_rate"]))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=options["otlp"]["endpoint"])))
    monkeypatch.setattr("opentelemetry.trace.get_tracer", provider.get_tracer)
    urls = parse_excluded_urls(options["excluded_urls"])
    with open_service(BundleSource(bundle, "flowers")) as service:
        app = OpenTelemetryMiddleware(create_app(service), excluded_urls=urls, tracer=provider.get_tracer("asgi"))
        transport = httpx.ASGITransport(app)

        async def converse() -> None:
            async with httpx.AsyncClient(transport=transport, base_url="http://hardener") as client:
                await client.post("/predict", files={"image": PNG}, headers={"X-Request-Id": "mine"})
                await client.get("/metrics")

        asyncio.run(converse())
    provider.shutdown()
    (request,) = [span for span in came if span.kind == Span.SPAN_KIND_SERVER]
    shown = {pair.key: pair.value.string_value or pair.value.int_value for pair in request.attributes}
    assert request.name == "POST /predict"
    assert (shown["http.route"], shown["http.response.status_code"]) == ("/predict", 200)
    assert (shown["hardener.request_id"], shown["hardener.model"]) == ("mine", "flowers")
    below = {span.name: span for span in came if span.parent_span_id == request.span_id}
    assert {"decode", "model"} <= set(below)
    assert below["decode"].end_time_unix_nano <= below["model"].start_time_unix_nano
    assert {span.trace_id for span in came} == {request.trace_id}


def test_without_a_trace_a_span_is_the_same_nothing_every_time() -> None:
    assert span("decode") is span("model")
    with span("decode"):
        assert not trace.get_current_span().is_recording()


def test_tracing_is_off_unless_an_endpoint_is_named() -> None:
    assert tracing_options(None) == tracing_options("") == {"excluded_urls": ".*"}
    options = tracing_options("http://127.0.0.1:4318/v1/traces", share=0.5)
    assert options["sample_rate"] == 0.5
    assert options["otlp"] == {"protocol": "http", "endpoint": "http://127.0.0.1:4318/v1/traces"}


def test_spans_that_could_not_leave_are_found_before_a_worker_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    check_tracing(None)
    check_tracing("http://127.0.0.1:4318/v1/traces")
    with pytest.raises(HardenerError, match="HARDENER_TRACES must be an OTLP endpoint .*; got 'collector:4318'"):
        check_tracing("collector:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(HardenerError, match="HARDENER_TRACES is set, but the package .* is missing. Install"):
        check_tracing("http://127.0.0.1:4318/v1/traces")


def test_a_server_has_a_folder_of_its_own_for_its_figures_and_takes_it_along() -> None:
    script = (
        "import os, sys\n"
        "from serving.metrics import share_figures, use_shared_figures\n"
        "use_shared_figures(); print(os.environ['PROMETHEUS_MULTIPROC_DIR'])\n"
        "share_figures(); use_shared_figures(); print(os.environ['PROMETHEUS_MULTIPROC_DIR'])\n"
        "assert os.stat(os.environ['PROMETHEUS_MULTIPROC_DIR']).st_mode & 0o777 == 0o700\n"
    )
    environment = dict(os.environ) | {"PROMETHEUS_MULTIPROC_DIR": "shared"}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shared, own = done.stdout.split()
    assert shared == "shared"
    assert "hardener-metrics-" in own
    assert not Path(own).exists()


def upload(service: ServiceState, **headers: str) -> httpx.Response:
    return send(service, "POST", "/predict", files={"image": PNG}, headers=headers)


def test_the_service_counts_answers_reports_and_refused_images_by_model_and_kind(bundle: Path) -> None:
    with open_service(BundleSource(bundle, "flowers"), draws=100) as service:
        assert upload(service).status_code == 200
        assert send(service, "POST", "/report", files={"image": PNG}).status_code == 200
        assert send(service, "POST", "/predict", files={"image": PNG[: len(PNG) // 2]}).status_code == 422
        batch = [("image", PNG), ("image", b"no image"), ("image", PNG)]
        assert send(service, "POST", "/predict/batch", files=batch).status_code == 200
        text = send(service, "GET", "/metrics").text.splitlines()
        (report_runs,) = [line for line in text if line.startswith("hardener_certified_radius_count")]
        (abstentions,) = [line for line in text if line.startswith("hardener_abstentions_total")]
    assert 'hardener_images_total{model="flowers"} 4.0' in text
    assert 'hardener_reports_total{model="flowers"} 1.0' in text
    assert 'hardener_decode_errors_total{kind="damaged"} 1.0' in text
    assert 'hardener_decode_errors_total{kind="format"} 1.0' in text
    assert 'hardener_requests_total{route="/predict/batch",status="200"} 1.0' in text
    assert "hardener_requests_in_flight 1.0" in text  # the scrape itself
    assert float(report_runs.split()[1]) + float(abstentions.split()[1]) == 1
    assert (
        f'fingerprint="{"f" * 64}",model="flowers",provider="CPUExecutionProvider",quantization="none"}} 1.0'
        in "\n".join(text)
    )


def test_the_service_logs_the_model_and_the_token_of_a_request(bundle: Path) -> None:
    lines = Lines()
    hashes = f"alice {hashlib.sha256(TOKEN.encode()).hexdigest()}"

    async def converse() -> None:
        transport = httpx.ASGITransport(create_app(service, log=lines.log))
        async with httpx.AsyncClient(transport=transport, base_url="http://hardener") as client:
            for headers in ({"Authorization": f"Bearer {TOKEN}"}, {}):
                await client.post("/predict", files={"image": PNG}, headers=headers)

    with open_service(BundleSource(bundle, "flowers"), token_hashes=hashes) as service:
        asyncio.run(converse())
    known, unknown = lines.read()
    assert (known["status"], known["token"], known["model"]) == (200, "alice", "flowers")
    assert known["bytes_in"] > len(PNG)
    assert unknown["status"] == 401
    assert "a token is needed" in unknown["error"]
    assert not {"token", "model"} & set(unknown)


def test_a_fault_inside_the_service_is_one_line_with_its_traceback(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("a bug")

    with open_service(bundle) as service:
        monkeypatch.setattr(service.registry, "find", fail)
        answer = upload(service, **{"X-Request-Id": "mine"})
    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    assert answer.headers["x-request-id"] == "mine"
    assert "bug" not in answer.text
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "a bug" in str(record.exc_info[1])


def test_the_service_lets_in_by_token_rate_and_origin(bundle: Path) -> None:
    hashes = f"alice {hashlib.sha256(TOKEN.encode()).hexdigest()}"
    token = {"Authorization": f"Bearer {TOKEN}"}
    limits: dict[str, Any] = {"rate": Rate(0.001, 2), "cors": ("https://shop.example",)}
    with open_service(bundle, token_hashes=hashes, **limits) as service:

        async def converse(client: httpx.AsyncClient) -> list[httpx.Response]:
            origin = {"Origin": "https://shop.example"}
            wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
            preflight = await client.options("/predict", headers=origin | wanted)
            asked = [await client.post("/predict", files={"image": PNG}, headers=h) for h in (origin, *[token] * 3)]
            return [preflight, await client.get("/"), await client.get("/metrics"), *asked]

        answers = talk_to(service, converse)
    assert [answer.status_code for answer in answers] == [200, 200, 401, 401, 200, 200, 429]
    assert answers[3].headers["access-control-allow-origin"] == "https://shop.example"
    assert answers[3].headers["www-authenticate"].startswith("Bearer")
    assert int(answers[6].headers["retry-after"]) == 1000
    assert all("x-request-id" in answer.headers for answer in answers)


def test_a_reload_takes_new_tokens_and_says_when_it_cannot(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"alice {hashlib.sha256(b'a').hexdigest()}\n")
    with open_service(bundle, tokens=path) as service:
        path.write_text(f"bob {hashlib.sha256(b'b').hexdigest()}\n")
        asyncio.run(service.reload())
        statuses = [send(service, "GET", "/model", headers={"Authorization": f"Bearer {t}"}).status_code for t in "ab"]
        assert statuses == [401, 200]
        path.write_text("bob\n")
        asyncio.run(service.reload())
        assert send(service, "GET", "/model", headers={"Authorization": "Bearer b"}).status_code == 200
    (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "the tokens stay as they were: line 1" in error


@pytest.mark.parametrize("file", ["alerts.yaml", "grafana-dashboard.json"])
def test_alerts_and_dashboard_ask_for_figures_that_there_are(file: str) -> None:
    metrics = Metrics()
    metrics.show_models([("flowers", "a", "CPU", "c", "none")])
    metrics.note_request("/predict", 200, 0.1)
    metrics.note_prediction(prediction())
    there = {line.split("{")[0].split(" ")[0] for line in metrics.render().decode().splitlines()}
    asked = set(re.findall(r"hardener_\w+", (ROOT / "serving" / "deploy" / file).read_text(encoding="utf-8")))
    assert len(asked) >= 8
    assert asked <= there
