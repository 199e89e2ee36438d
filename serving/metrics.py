"""The figures of `/metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .engine import BUCKETS


class Metrics:
    """The figures of `/metrics`, in a registry of their own. Labels take a fixed set of values."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "hardener_requests", "answers, by route and status", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "hardener_request_seconds", "from request to answer, by route", ["route"], registry=registry
        )
        self.reports = Counter("hardener_reports", "robustness reports answered", registry=registry)
        self.batch_images = Histogram(
            "hardener_batch_images", "images in one run of the model", buckets=BUCKETS, registry=registry
        )
        self.waiting = Gauge(
            "hardener_waiting_images", "images that wait for a lane, by kind", ["kind"], registry=registry
        )
