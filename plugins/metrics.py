"""``GET /metrics``: the daemon and its conversions in numbers, for Prometheus. ``docs/metrics.md`` tells each of them.

What the core counts is read when somebody asks; the rest is counted from the changes that all subscribers hear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, Info
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hypersdkd.model.change import Change
from hypersdkd.model.event import FINAL_EVENTS, EventType
from hypersdkd.model.job import JobState
from hypersdkd.model.moment import now, seconds_between
from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import Counts
from hypersdkd.spec.types import Endpoint, Request, Response, Subscriber

#: Upper bounds in seconds of how long a stage takes: a look at a header, a boot, the conversion of terabytes.
STAGE_BUCKETS: Final = (0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800)

#: Upper bounds in seconds of how long a file waits: an idle daemon takes milliseconds, a full one hours.
PICKUP_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 43200)

#: Why a directory is looked at as a whole; named here so that each is there, at 0, before it happens.
RESCAN_REASONS: Final = ("start", "overflow", "changed", "new-day")

_ENDS: Final = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)

#: A format with the parameters that Prometheus sends, in the versions that there are.
_FORMAT: Final = re.compile(
    r"(application/openmetrics-text|text/plain)"
    r"(\s*;\s*(version=(0\.0\.1|0\.0\.4|1\.0\.0)|charset=utf-8|q=[01](\.\d{1,3})?"
    r"|escaping=(allow-utf-8|underscores|dots|values)))*"
)

_Key = TypeVar("_Key")
_OPENMETRICS: Final = "application/openmetrics-text"


@dataclass(slots=True)
class _Attempt:
    """A guest's attempt so far: when its stage began, and the bytes of its outputs."""

    stage_began: str = ""
    output_bytes: float = 0


class Plugin:
    """All numbers of one daemon. Both hooks are called in the plugin's thread, so that nothing here is shared."""

    def __init__(self) -> None:
        self._since = now()
        self._attempts: dict[tuple[str, str], _Attempt] = {}
        self._registry = CollectorRegistry()
        self._core = _Core()
        self._registry.register(self._core)
        self._build = Info("hypersdkd_build", "The version of hypersdkd that runs.", registry=self._registry)
        self._finished = self._counter("jobs_finished", "Jobs that this daemon has ended.", "status", _ENDS)
        self._events = self._counter("events", "Events of guests' journals.", "type", EventType)
        self._bytes = Counter(
            "hypersdkd_converted_bytes",
            "Sizes of the disks of converted guests, as the guests see them.",
            registry=self._registry,
        )
        self._stages = Histogram(
            "hypersdkd_stage_duration_seconds",
            "How long completed stages of guests took.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self._registry,
        )
        for stage in Stage:
            self._stages.labels(stage.value)
        self._pickup = Histogram(
            "hypersdkd_pickup_seconds",
            "From a file's last change in the drop directory to its claim.",
            buckets=PICKUP_BUCKETS,
            registry=self._registry,
        )

    def _counter(self, name: str, meaning: str, label: str, values: Iterable[str]) -> Counter:
        counter = Counter(f"hypersdkd_{name}", meaning, [label], registry=self._registry)
        for value in values:
            counter.labels(str(value))
        return counter

    @hookimpl
    def hypersdkd_subscribers(self) -> Sequence[Subscriber]:
        """Count what happens."""
        return [Subscriber("metrics", self._hear)]

    @hookimpl
    def hypersdkd_endpoints(self) -> Sequence[Endpoint]:
        """The page that Prometheus fetches."""
        summary = "The daemon and its conversions in numbers, for Prometheus"
        return [Endpoint("/metrics", summary, self._answer, ("text/plain", _OPENMETRICS))]

    # -- what is asked ------------------------------------------------------------------------------

    def _answer(self, request: Request, counts: Counts) -> Response:
        """The numbers in the format that the client prefers: Prometheus' text, or OpenMetrics."""
        self._build.info({"version": counts.version})
        self._core.update(counts)
        encode, content_type = choose_encoder(_understood(request.headers.get("accept", "")))
        openmetrics = content_type.startswith(_OPENMETRICS)
        return Response(encode(self._registry if openmetrics else _Plain(self._registry)), content_type)

    # -- what is heard ------------------------------------------------------------------------------

    def _hear(self, changes: Sequence[Change]) -> None:
        for change in changes:
            data = change.data
            if change.kind == "guest":
                self._take_event(data)
            elif change.kind == "claimed":
                self._pickup.observe(_number(data.get("waited_seconds")))
            elif change.kind == "ended":
                self._finished.labels(str(data["status"])).inc()
                for key in [key for key in self._attempts if key[0] == data["job"]]:
                    del self._attempts[key]

    def _take_event(self, event: Mapping[str, object]) -> None:
        """An event of a guest. What a former daemon heard is told again for a worker that outlived it; it belongs to
        the guest's story, and was counted then."""
        kind, time = EventType(str(event["type"])), str(event["time"])
        counts = time >= self._since
        if counts:
            self._events.labels(kind.value).inc()
        key = (str(event["job"]), str(event["vm"]))
        attempt = self._attempts.setdefault(key, _Attempt())
        if kind is EventType.STARTED:
            self._attempts[key] = _Attempt()
        elif kind is EventType.STAGE_STARTED:
            attempt.stage_began = time
        elif kind is EventType.STAGE_FINISHED and counts:
            took = seconds_between(attempt.stage_began, time)
            if took is not None:
                self._stages.labels(str(event["stage"])).observe(max(0.0, took))
        elif kind is EventType.ARTIFACT and event.get("kind") == "output":
            attempt.output_bytes += _number(event.get("virtual_size"))
        elif kind in FINAL_EVENTS:
            if kind is EventType.FINISHED and counts:
                self._bytes.inc(attempt.output_bytes)
            del self._attempts[key]


def _understood(accept: str) -> str:
    """Of an ``Accept`` what prometheus-client can be given: it takes versions for numbers, and repeats what it gets."""
    return ",".join(part for part in map(str.strip, accept.split(",")) if _FORMAT.fullmatch(part))


class _Core(Collector):
    """What the core counts, as it was when somebody asked."""

    def __init__(self) -> None:
        self._counts: Counts | None = None
        self._requests = _Rising[tuple[str, str, int]]()
        self._rescans = _Rising[str]()
        self._errors = _Rising[str]()

    def update(self, counts: Counts) -> None:
        """Take new counts."""
        self._counts = counts
        self._requests.update(counts.requests)
        self._rescans.update({**dict.fromkeys(RESCAN_REASONS, 0), **counts.rescans})
        self._errors.update(counts.plugin_errors)

    def describe(self) -> Iterator[Metric]:
        """Names alone, so that nobody has to ask before there is an answer."""
        return self._families({}, {})

    def collect(self) -> Iterator[Metric]:
        """Every number."""
        if self._counts is None:
            return iter(())
        running, most = self._counts.workers_running, self._counts.max_workers
        return self._families(self._counts.jobs, {"busy": running, "idle": max(0, most - running)})

    def _families(self, jobs: Mapping[str, int], workers: Mapping[str, int]) -> Iterator[Metric]:
        for name, meaning, states in (
            ("jobs", "Jobs in each state, ended ones of all dates.", jobs),
            ("workers", "Slots for guests: busy while one is converted there, else idle.", workers),
        ):
            gauge = GaugeMetricFamily(f"hypersdkd_{name}", meaning, labels=["state"])
            for state, number in states.items():
                gauge.add_metric([state], number)
            yield gauge
        for name, meaning, labels, rising in (
            ("rescans", "Looks at all of a directory of the queue.", ["reason"], self._rescans),
            ("plugin_errors", "Errors of each plugin.", ["plugin"], self._errors),
        ):
            counter = CounterMetricFamily(f"hypersdkd_{name}", meaning, labels=labels)
            for value, number in rising.items():
                counter.add_metric([value], number)
            yield counter
        requests = CounterMetricFamily(
            "hypersdkd_http_requests",
            "Replies of the API, but for those to what is no request.",
            labels=["route", "method", "code"],
        )
        for (route, method, code), number in self._requests.items():
            requests.add_metric([route, method, str(code)], number)
        yield requests


class _Rising(Generic[_Key]):
    """Counters that never go back, though what they are read from may begin anew (plugins that were read again)."""

    def __init__(self) -> None:
        self._before: dict[_Key, int] = {}
        self._last: dict[_Key, int] = {}

    def update(self, counted: Mapping[_Key, int]) -> None:
        """Take what is counted now."""
        for key, number in counted.items():
            if number < self._last.get(key, 0):
                self._before[key] = self._before.get(key, 0) + self._last[key]
            self._last[key] = number

    def items(self) -> Iterator[tuple[_Key, int]]:
        """Each counter so far."""
        return ((key, number + self._before.get(key, 0)) for key, number in self._last.items())


class _Plain(Collector):
    """A registry as Prometheus' text has it: when a series began is told by OpenMetrics alone."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
