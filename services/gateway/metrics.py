"""Every metric of the gateway, declared here and nowhere else."""

import time
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lookalike.errors import LookalikeError
from lookalike.jobs.port import Jobs, JobState
from lookalike.pipeline.workspace import Workspace
from lookalike.types.search import SearchResponse

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
UNMATCHED = "unmatched"


class Metrics:
    """The metrics of one application."""

    def __init__(self, workspace: Workspace, jobs: Jobs) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.registry.register(_State(workspace, jobs))
        # The route is its template, never the path: a path has names in it, and there are endless ones.
        self.requests = Counter(
            "lookalike_http_requests",
            "Requests answered, by method, route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        # Up to the first byte of the answer; an event stream goes on for as long as its job.
        self.request_seconds = Histogram(
            "lookalike_http_request_seconds",
            "Time from a request to the start of its answer, by method and route.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        # Stages as in took_ms of an answer: prepare, embed, search, records and total.
        self.search_seconds = Histogram(
            "lookalike_search_stage_seconds",
            "Time of each stage of a search, by stage, model and backend.",
            ("stage", "model", "backend"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        # 1 where nobody else searched the same index with the same options at the same moment.
        self.joined = Histogram(
            "lookalike_joined_searches",
            "Concurrent searches that were answered by one call of a backend.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )

    def searched(self, response: SearchResponse) -> None:
        """Counts one answered search."""
        for stage, took_ms in response.took_ms.items():
            self.search_seconds.labels(stage, response.model, response.backend).observe(took_ms / 1000)


class _State(Collector):
    """What is read from the catalog at the moment of the scrape; a store that does not answer leaves it out."""

    def __init__(self, workspace: Workspace, jobs: Jobs) -> None:
        self._workspace = workspace
        self._jobs = jobs

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from self._families({}, {})

    def collect(self) -> Iterator[GaugeMetricFamily]:
        galleries = self._workspace.galleries
        try:
            images = {
                pointer.name: galleries.version(pointer.name, pointer.version_id).num_images
                for pointer in galleries.list()
            }
            states = [job.state for job in self._jobs.list()]
        except LookalikeError:
            return
        yield from self._families(images, {state: states.count(state) for state in JobState})

    def _families(self, images: Mapping[str, int], jobs: Mapping[JobState, int]) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("lookalike_galleries", "Galleries in the store.", value=len(images))
        held = GaugeMetricFamily("lookalike_gallery_images", "Images of each gallery.", labels=("gallery",))
        for name, number in images.items():
            held.add_metric((name,), number)
        yield held
        known = GaugeMetricFamily("lookalike_jobs", "Jobs that are kept, by state.", labels=("state",))
        for state, number in jobs.items():
            known.add_metric((state.value,), number)
        yield known


class CountRequests:
    """Counts and times every request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Methods are anything a client types; those that no route has are counted as one.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        started = time.perf_counter()

        def count(status: int) -> None:
            route = getattr(scope.get("route"), "path", UNMATCHED)
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.request_seconds.labels(method, route).observe(time.perf_counter() - started)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, counted)
        except BaseException:
            count(500)  # what answers it is outside of this
            raise


_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})
