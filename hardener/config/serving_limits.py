"""The limits of the service: one table that the service reads and `hardener serve --limits` shows.

It is here, and not in `serving`, because the command line needs it without the service's packages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hardener.config.pixels import MOST_PIECES, MOST_SCANS
from hardener.errors import HardenerError

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Limit:
    """A number that bounds what the service takes or gives.

    Attributes:
        name: the field of `serving.settings.Settings`; upper case after HARDENER_ it is the variable.
        default: where neither flag nor variable is set; None: the service decides by the machine.
        least, most: the range, both ends included.
        bounds: what it bounds, for people.
        whole: only whole numbers are taken.
        flag: of `hardener serve`; None: there is only the variable.
    """

    name: str
    default: float | None
    least: float
    most: float
    bounds: str
    whole: bool = True
    flag: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"HARDENER_{self.name.upper()}"

    def read(self, environment: Mapping[str, str]) -> float | None:
        """Return its value: the variable's, or the default where that is not set or empty.

        Raises:
            HardenerError: the text is no number of the range.
        """
        text = environment.get(self.variable, "").strip()
        if not text:
            return self.default
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            value = float("nan")
        if not self.least <= value <= self.most:
            kind = "a whole number" if self.whole else "a number"
            span = f"{kind} from {self.least:.15g} to {self.most:.15g}"
            name = self.variable if self.flag is None else f"{self.flag} ({self.variable})"
            raise HardenerError(f"{name} must be {span}; got {text[:80]!r}")
        return value


_TABLE = (
    Limit("workers", 1, 1, 256, "processes that answer requests", flag="--workers"),
    Limit("lanes", None, 1, 256, "threads of a process that run the model at once"),
    Limit("body_timeout_s", 8.0, 0.1, 3600, "seconds from a request's headers to the end of its body", whole=False),
    Limit("predict_timeout_s", 10.0, 0.1, 3600, "seconds from a request's headers to its answer", whole=False),
    Limit("max_body_bytes", 20 * MEBIBYTE, 1024, 2**40, "bytes of one request's body"),
    Limit("max_held_bytes", 96 * MEBIBYTE, 1024, 2**40, "bytes of all bodies in work together"),
    Limit("max_connections", None, 16, 1_000_000, "connections to a process; by default what its open files allow"),
    Limit("max_headers", 100, 1, 10_000, "headers of a request"),
    Limit("max_header_bytes", 65_536, 1024, 2**30, "bytes of a request's headers together"),
    Limit("header_timeout_s", 10.0, 0.1, 3600, "seconds for a request's headers to come", whole=False),
    Limit("keep_alive_timeout_s", 75.0, 0.1, 3600, "seconds that a connection stays between requests", whole=False),
    Limit("write_timeout_s", 20.0, 0.1, 3600, "seconds that a client may leave an answer unread", whole=False),
    Limit("drain_s", 2.0, 0, 3600, "seconds that a service told to stop goes on, no longer ready", whole=False),
    Limit("stop_s", 5.0, 0.1, 3600, "seconds for the requests in work to be finished after that", whole=False),
    Limit("max_quick_deaths", 5, 1, 1000, "workers that die within 10 s of their start, one after another"),
    Limit("max_pixels", 50_000_000, 1, 2**40, "pixels of an image; a larger one is not decoded"),
    Limit("max_side", 32_768, 1, 2**31, "pixels of an image's longer side"),
    Limit("max_decode_bytes", 448 * MEBIBYTE, MEBIBYTE, 2**40, "bytes that decoding takes, of all images in work"),
    Limit("max_batch_images", 32, 1, 10_000, "images in one request to /predict/batch"),
    Limit("max_requests", 64, 1, 1_000_000, "requests in work at once"),
    Limit("max_waiting", 32, 1, 1_000_000, "images that wait for the model"),
    Limit("max_reports", 4, 1, 10_000, "reports in work at once"),
    Limit("draws", 500, 1, 100_000, "noisy copies at most for a report's certificate, by default", flag="--draws"),
    Limit("queries", 200, 1, 100_000, "model runs of a report's attack, by default", flag="--queries"),
    Limit("report_seconds", 15.0, 0.1, 3600, "seconds for a report, by default", whole=False, flag="--report-seconds"),
    Limit("max_draws", 10_000, 1, 1_000_000, "noisy copies that a request may ask for"),
    Limit("max_queries", 2000, 1, 1_000_000, "model runs of an attack that a request may ask for"),
    Limit("max_report_seconds", 60.0, 0.1, 3600, "seconds of a report that a request may ask for", whole=False),
    Limit("selection_draws", 16, 1, 100_000, "noisy copies that choose the class of a certificate"),
    Limit("alpha", 0.001, 1e-12, 0.5, "chance that a certificate is wrong", whole=False),
)


@dataclass(frozen=True)
class FixedBound:
    """A number that bounds what the service takes, and that nobody can set."""

    name: str
    value: int
    bounds: str


_FIXED_TABLE = (
    FixedBound("form_fields", 16, "fields of a form or of JSON besides its images"),
    FixedBound("field_bytes", 4096, "bytes of such a field"),
    FixedBound("json_values", 1000, "values of JSON, besides images; keys and brackets count too"),
    FixedBound("part_headers", 8, "headers of a part of a form"),
    FixedBound("part_header_bytes", 4096, "bytes of such a header"),
    FixedBound("rate_callers", 10_000, "callers whose rate a process keeps; those unseen for longest are forgotten"),
    FixedBound("log_lines", 10_000, "lines of the log that wait; more are dropped and counted"),
    FixedBound(
        "image_pieces", MOST_PIECES, "segments of a JPEG, chunks of a PNG; of a larger file one each 1,024 bytes"
    ),
    FixedBound("jpeg_scans", MOST_SCANS, "scans of a JPEG; fewer where they go over 2,000 million pixels together"),
    FixedBound("bundle_check_s", 600, "seconds for a bundle to be tried before it is served"),
    FixedBound("quick_death_s", 10, "seconds after its start within which a worker's death counts as quick"),
)
FIXED: Mapping[str, FixedBound] = {bound.name: bound for bound in _FIXED_TABLE}
LIMITS: Mapping[str, Limit] = {limit.name: limit for limit in _TABLE}


def read_limits(environment: Mapping[str, str]) -> dict[str, float | None]:
    """Return the value of every limit by its name.

    Raises:
        HardenerError: one is out of its range, or two contradict each other.
    """
    values = {name: limit.read(environment) for name, limit in LIMITS.items()}
    body, held = values["max_body_bytes"], values["max_held_bytes"]
    if body is not None and held is not None and body > held:
        raise HardenerError(
            f"HARDENER_MAX_BODY_BYTES is {body:.0f} and HARDENER_MAX_HELD_BYTES {held:.0f}: no body of "
            "the largest size could be taken. Raise the second, or lower the first."
        )
    return values
