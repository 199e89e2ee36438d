"""The figures of `/metrics`: fixed label sets in a registry of their own, summed over the worker processes.

BentoML starts every worker with PROMETHEUS_MULTIPROC_DIR set, so prometheus_client keeps each figure in a small file of
that folder, and whichever worker is scraped adds up the files. A value costs about 1 us more to change than in memory.
The folder that BentoML sets is one for all servers of a user, and each start empties it; `share_figures` makes one for
this server alone. In a process without the variable the figures are the process's own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from hardener.config.answer import Prediction, Report

from .private_folder import make_private_folder
from .worker_figures import WorkerCounters

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
OWN_FOLDER_VARIABLE = "HARDENER_METRICS_FOLDER"
QUEUES = ("plain", "report")
DECODE_ERRORS = {413: "too_large", 415: "format", 422: "damaged"}
SIGNS = ("variations", "smoothing", "attack")
_SECONDS = (0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30)
_IMAGES = (1, 2, 4, 8, 16, 32)
_RADII = (0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1, 1.5, 2, 3)
_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1)


def share_figures() -> Path | None:
    """Make and return the folder of a server's figures, in the process that starts the workers; it goes with it.

    Its files are mapped into memory, and a disk that fills up would end a worker at its first touch of a new page. So
    they lie in memory where the system has such a place.
    """
    folder = make_private_folder("metrics", ["/dev/shm", None])  # noqa: S108 - it is ours alone
    if folder is not None:  # else nothing can be written: BentoML has found a place, or has ended the start
        os.environ[OWN_FOLDER_VARIABLE] = str(folder)
    return folder


def use_shared_figures() -> None:
    """Let the `Metrics` that are made from now on, in a worker, be part of their server's."""
    if OWN_FOLDER_VARIABLE in os.environ and FOLDER_VARIABLE in os.environ:
        os.environ[FOLDER_VARIABLE] = os.environ[OWN_FOLDER_VARIABLE]


class Metrics:
    """Counts what the service does. Label values are known routes, statuses, models and fixed words, nothing else."""

    def __init__(self) -> None:
        """Start at zero; in a worker with a shared folder, beside the other workers' figures."""
        folder = os.environ.get(FOLDER_VARIABLE)
        self._folder = Path(folder) if folder else None
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "hardener_requests", "answers, by route and status", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "hardener_request_seconds", "from request to answer", ["route"], registry=registry, buckets=_SECONDS
        )
        self._in_flight = _gauge(registry, "hardener_requests_in_flight", "requests that have no whole answer yet")
        self.images = Counter(
            "hardener_images", "images answered, one by one or in a batch", ["model"], registry=registry
        )
        self.reports = Counter("hardener_reports", "robustness reports answered", ["model"], registry=registry)
        self.batch_images = Histogram(
            "hardener_batch_images", "images in one run of the model", registry=registry, buckets=_IMAGES
        )
        self.waiting = _gauge(registry, "hardener_waiting_images", "images that wait for a lane, by kind", ["kind"])
        self.decode_errors = Counter(
            "hardener_decode_errors", "images that were refused, by fault", ["kind"], registry=registry
        )
        self._add_figures_of_reports()
        self.lost_log_lines = Counter(
            "hardener_lost_log_lines", "log lines dropped as they could not be written in time", registry=registry
        )
        self.models = _gauge(
            registry,
            "hardener_model_info",
            "1 for a model that is served, 0 for one that was",
            ["model", "fingerprint", "provider", "file", "quantization"],
            mode="livemax",
        )
        for kind in DECODE_ERRORS.values():
            self.decode_errors.labels(kind)
        self._waiting = {kind: self.waiting.labels(kind) for kind in QUEUES}
        self._count_waiting: Callable[[], dict[str, int]] = lambda: dict.fromkeys(QUEUES, 0)
        self.in_flight = 0
        self._answered: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._shown: set[tuple[str, ...]] = set()
        self.write_gauges()

    def _add_figures_of_reports(self) -> None:
        registry = self.registry
        self.certified_radius = Histogram(
            "hardener_certified_radius",
            "certified l2 radius of the reports that did not abstain, in [0, 1] pixels",
            ["model"],
            registry=registry,
            buckets=_RADII,
        )
        self.abstentions = Counter(
            "hardener_abstentions", "reports whose certificate abstained", ["model"], registry=registry
        )
        self.lowest_stability = Histogram(
            "hardener_lowest_stability",
            "a report's least share of variants with the same answer, over the kinds of change",
            ["model"],
            registry=registry,
            buckets=_SHARES,
        )
        self.unstable = Counter(
            "hardener_unstable_reports", "reports with a sign of an unstable answer", ["model"], registry=registry
        )
        self.signs = Counter(
            "hardener_unstable_signs", "such signs; a report may have several", ["model", "sign"], registry=registry
        )

    def note_request(self, route: str, status: int, seconds: float) -> None:
        """Count an answer. `route` is a known path or one word for all others."""
        pair = self._answered.get((route, status))
        if pair is None:  # finding a series by its labels costs more than changing it
            pair = self.requests.labels(route, str(status)), self.seconds.labels(route)
            self._answered[route, status] = pair
        pair[0].inc()
        pair[1].observe(seconds)

    def note_prediction(self, prediction: Prediction) -> None:
        """Count an answer to one image, and what its report says."""
        model = prediction.model.name
        self.images.labels(model).inc()
        if prediction.report is None:
            return
        self.reports.labels(model).inc()
        certificate = prediction.report.certificate
        if certificate.abstained or certificate.radius is None:
            self.abstentions.labels(model).inc()
        else:
            self.certified_radius.labels(model).observe(certificate.radius)
        self.lowest_stability.labels(model).observe(_lowest_stability(prediction.report))
        signs = unstable_signs(prediction.report)
        for sign in signs:
            self.signs.labels(model, sign).inc()
        if signs:
            self.unstable.labels(model).inc()

    def note_decode_error(self, status: int) -> None:
        """Count an image that was refused with a status of `DECODE_ERRORS`."""
        self.decode_errors.labels(DECODE_ERRORS[status]).inc()

    def watch_queues(self, count_waiting: Callable[[], dict[str, int]]) -> None:
        """Ask `count_waiting` from now on how many images wait, for each of `QUEUES`."""
        self._count_waiting = count_waiting

    def write_gauges(self) -> None:
        """Write down how many images wait now, and `in_flight` requests, so that the other workers can tell it."""
        self._in_flight.set(self.in_flight)
        for kind, images in self._count_waiting().items():
            self._waiting[kind].set(images)

    def show_models(self, models: Iterable[tuple[str, str, str, str, str]]) -> None:
        """Say what is served now: name, fingerprint, provider, the file's sha256 and quantisation of each model.

        Their counters begin at zero.
        """
        now = set(models)
        for name, *_ in now:
            for counter in (self.images, self.reports, self.certified_radius, self.abstentions, self.unstable):
                counter.labels(name)
            for sign in SIGNS:
                self.signs.labels(name, sign)
        for model in self._shown - now:
            self.models.labels(*model).set(0)  # in shared files a series can't be taken back
        for model in now:
            self.models.labels(*model).set(1)
        self._shown |= now

    def render(self) -> bytes:
        """Write the figures down in Prometheus' text format."""
        self.write_gauges()
        pids = [os.getpid()]
        registry = self.registry
        if self._folder is not None:
            pids = _live_workers(self._folder)
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry, str(self._folder))  # type: ignore[no-untyped-call]
        workers = CollectorRegistry()
        workers.register(_Workers(pids))
        workers.register(WorkerCounters(self._folder))
        return generate_latest(registry) + generate_latest(workers)


def unstable_signs(report: Report) -> list[str]:
    """Name what makes an answer suspicious, as an attack on the model would.

    Returns:
        Of `SIGNS`: `variations`: of some kind of everyday change, fewer than half of the variants keep the answer.
        `smoothing`: the classifier under noise is certain of another class. `attack`: the bounded attack succeeded.
    """
    certificate = report.certificate
    signs = {
        "variations": _lowest_stability(report) < 0.5,
        "smoothing": not certificate.abstained and not certificate.agrees_with_prediction,
        "attack": bool(report.attack.found),
    }
    return [sign for sign in SIGNS if signs[sign]]


class _Workers(Collector):
    def __init__(self, pids: list[int]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("hardener_workers", "worker processes that live", value=len(self._pids))
        memory = GaugeMetricFamily("hardener_worker_memory_bytes", "resident memory", labels=["pid"])
        for pid in self._pids:
            resident = _resident_bytes(pid)
            if resident is not None:
                memory.add_metric([str(pid)], resident)
        yield memory


def _gauge(
    registry: CollectorRegistry, name: str, text: str, labels: Iterable[str] = (), *, mode: Any = "livesum"
) -> Gauge:
    return Gauge(name, text, labels, registry=registry, multiprocess_mode=mode)


def _lowest_stability(report: Report) -> float:
    kinds = [kind for _, kind in report.stability if kind is not None]
    return min((kind.same_answer for kind in kinds if kind.same_answer is not None), default=1.0)


def _live_workers(folder: Path) -> list[int]:
    """List the workers that live, and drop the gauges of those that don't; their counters stay in the sums."""
    found = {int(match[1]) for path in folder.glob("*.db") if (match := re.search(r"_(\d+)\.db$", path.name))}
    live = [pid for pid in sorted(found) if _lives(pid)]
    for pid in found.difference(live):
        multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
    return live


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _resident_bytes(pid: int) -> int | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):  # no such system, or the worker has just ended
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
