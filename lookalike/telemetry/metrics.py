"""Counting what is declared, and showing it to Prometheus. Nothing is counted in a process that shows nothing."""

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lookalike.errors import MissingExtra
from lookalike.telemetry.declared import PROCESS_WIDE, Kind, Metric

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class Recorder:
    """The metrics of one process or of one application in it.

    Until :meth:`start` every call returns at once, and ``prometheus_client`` is neither needed nor imported. Methods
    may be called from several threads.
    """

    def __init__(self, declared: Iterable[Metric]) -> None:
        self._declared = tuple(declared)
        self._instruments: dict[str, Any] = {}
        self._labelled: dict[tuple[object, ...], Any] = {}  # found again faster than an instrument finds its own
        self._registry: CollectorRegistry | None = None
        self._lock = threading.Lock()

    def start(self) -> "CollectorRegistry":
        """Counts from now on; what to show is in the registry. Raises MissingExtra without ``prometheus_client``."""
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        except ImportError as error:
            raise MissingExtra("prometheus_client", "metrics") from error
        with self._lock:
            if self._registry is None:
                registry = CollectorRegistry()
                for metric in self._declared:
                    about = (metric.name, metric.help, metric.labels)
                    match metric.kind:
                        case Kind.COUNTER:
                            self._instruments[metric.name] = Counter(*about, registry=registry)
                        case Kind.GAUGE:
                            self._instruments[metric.name] = Gauge(*about, registry=registry)
                        case Kind.HISTOGRAM:
                            made = Histogram(*about, registry=registry, buckets=metric.buckets)
                            self._instruments[metric.name] = made
                self._registry = registry
            return self._registry

    def count(self, metric: Metric, amount: float = 1, **labels: object) -> None:
        """Adds to a counter."""
        if (found := self._found(metric, labels)) is not None:
            found.inc(amount)

    def observe(self, metric: Metric, value: float, **labels: object) -> None:
        """Adds one value to a histogram."""
        if (found := self._found(metric, labels)) is not None:
            found.observe(value)

    def set(self, metric: Metric, value: float, **labels: object) -> None:
        """What a gauge shows from now on."""
        if (found := self._found(metric, labels)) is not None:
            found.set(value)

    def _found(self, metric: Metric, labels: dict[str, object]) -> Any:
        if self._registry is None:
            return None
        if not metric.labels:
            return self._instruments[metric.name]
        key = (metric.name, *labels.items())
        found = self._labelled.get(key)
        if found is None:
            found = self._labelled[key] = self._instruments[metric.name].labels(**labels)
        return found


PROCESS = Recorder(PROCESS_WIDE)  # the straight path, the store, queues and the cache


def exposed(*recorders: Recorder) -> "CollectorRegistry":
    """What a process shows: its own memory and threads, :data:`PROCESS`, and ``recorders``, all counting from now on.

    Raises MissingExtra without ``prometheus_client``.
    """
    counted = [recorder.start() for recorder in (PROCESS, *recorders)]
    from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

    shown = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=shown)
    for registry in counted:
        shown.register(registry)  # it can be collected, which is all that is asked of a collector
    return shown
