"""What the gateway shows to Prometheus: requests and searches, what is in the store, and the process around them."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from lookalike.errors import LookalikeError
from lookalike.jobs.port import Job, Jobs, JobState
from lookalike.pipeline.workspace import Workspace
from lookalike.telemetry import declared
from lookalike.telemetry.metrics import Recorder, exposed
from lookalike.types.search import SearchResponse

_UNFINISHED = tuple(state for state in JobState if not state.has_ended)


class Metrics:
    """The metrics of one application.

    ``queue_depths`` says how many tasks wait in each queue; it raises DependencyUnavailable while nobody knows.
    """

    def __init__(self, workspace: Workspace, jobs: Jobs, queue_depths: Callable[[], Mapping[str, int]] = dict) -> None:
        self.recorder = Recorder((*declared.HTTP, *declared.ACCESS, *declared.SEARCH))
        self.registry = exposed(self.recorder)
        self.registry.register(_State(workspace, jobs, queue_depths))

    def searched(self, response: SearchResponse) -> None:
        """Counts one answered search."""
        about = {"model": response.model, "backend": response.backend}
        for stage, took_ms in response.took_ms.items():
            self.recorder.observe(declared.SEARCH_SECONDS, took_ms / 1000, stage=stage, **about)

    def joined(self, number: int) -> None:
        """Counts one call of a backend that answered ``number`` searches at once."""
        self.recorder.observe(declared.JOINED_SEARCHES, number)


class _State(Collector):
    """What is read at the moment of the scrape; a store or a queue that does not answer leaves its part out."""

    def __init__(self, workspace: Workspace, jobs: Jobs, queue_depths: Callable[[], Mapping[str, int]]) -> None:
        self._workspace = workspace
        self._jobs = jobs
        self._queue_depths = queue_depths

    def describe(self) -> Iterator[GaugeMetricFamily]:
        for metric in declared.STATE:
            yield _family(metric, {})

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for read in (self._stored, self._queued):
            try:
                yield from read()
            except LookalikeError:
                continue

    def _stored(self) -> list[GaugeMetricFamily]:
        galleries = self._workspace.galleries
        images = {
            pointer.name: galleries.version(pointer.name, pointer.version_id).num_images for pointer in galleries.list()
        }
        jobs = self._jobs.list()
        states = [job.state for job in jobs]
        return [
            GaugeMetricFamily(declared.GALLERIES.name, declared.GALLERIES.help, value=len(images)),
            _family(declared.GALLERY_IMAGES, images),
            _family(declared.JOBS, {state.value: states.count(state) for state in JobState}),
            _family(declared.OLDEST_JOB_SECONDS, oldest_s(jobs, datetime.now(UTC))),
        ]

    def _queued(self) -> list[GaugeMetricFamily]:
        return [_family(declared.QUEUE_DEPTH, self._queue_depths())]


def oldest_s(jobs: list[Job], now: datetime) -> dict[str, float]:
    """For each state that a job goes on from, the age of the oldest job in it in seconds, 0 where there is none."""
    ages_s = dict.fromkeys(_UNFINISHED, 0.0)
    for job in jobs:
        if job.state in ages_s:
            age_s = (now - datetime.fromisoformat(job.created_at)).total_seconds()
            ages_s[job.state] = max(ages_s[job.state], age_s)
    return {state.value: age_s for state, age_s in ages_s.items()}


def _family(metric: declared.Metric, values: Mapping[str, float]) -> GaugeMetricFamily:
    """A gauge with the values of its one label."""
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for label, value in values.items():
        family.add_metric((label,), value)
    return family
