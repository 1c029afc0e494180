"""Every metric, declared here and nowhere else: what it is called, counts and is told apart by.

``docs/reference/metrics.md`` is written from this module. Labels have few values by design: a route is its template,
an error its code; keys, ids and paths are in the logs.
"""

from dataclasses import dataclass
from enum import StrEnum

_REQUEST_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_STAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800)
_STORE_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Kind(StrEnum):
    """A counter only grows, a gauge is read at the moment of the scrape, a histogram counts values by size."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric. ``name`` is without the ``_total`` with which a counter is exposed."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def exposed(self) -> str:
        """The name to ask Prometheus for."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


# Of an application that answers requests: the gateway, the embedder.
HTTP_REQUESTS = Metric(
    "lookalike_http_requests",
    Kind.COUNTER,
    "Requests answered, by method, route and status.",
    ("method", "route", "status"),
)
# Up to the first byte of the answer; an event stream goes on for as long as its job.
HTTP_SECONDS = Metric(
    "lookalike_http_request_seconds",
    Kind.HISTOGRAM,
    "Time from a request to the start of its answer, by method and route.",
    ("method", "route"),
    _REQUEST_SECONDS,
)
HTTP = (HTTP_REQUESTS, HTTP_SECONDS)

# Of the gateway, where keys are on.
REFUSED = Metric(
    "lookalike_refused_requests",
    Kind.COUNTER,
    "Requests that were refused for want of a key, a scope or room in a rate limit, by the code of the error.",
    ("code",),
)
ACCESS = (REFUSED,)

# Stages as in took_ms of an answer: prepare, embed, search, records and total.
SEARCH_SECONDS = Metric(
    "lookalike_search_stage_seconds",
    Kind.HISTOGRAM,
    "Time of each stage of a search, by stage, model and backend.",
    ("stage", "model", "backend"),
    _REQUEST_SECONDS,
)
# 1 where nobody else searched the same index with the same options at the same moment.
JOINED_SEARCHES = Metric(
    "lookalike_joined_searches",
    Kind.HISTOGRAM,
    "Concurrent searches that were answered by one call of a backend.",
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
SEARCH = (SEARCH_SECONDS, JOINED_SEARCHES)

# Read from the store when the gateway is scraped.
GALLERIES = Metric("lookalike_galleries", Kind.GAUGE, "Galleries in the store.")
GALLERY_IMAGES = Metric("lookalike_gallery_images", Kind.GAUGE, "Images of each gallery.", ("gallery",))
JOBS = Metric("lookalike_jobs", Kind.GAUGE, "Jobs that are kept, by state.", ("state",))
OLDEST_JOB_SECONDS = Metric(
    "lookalike_oldest_job_seconds",
    Kind.GAUGE,
    "Time since the oldest job in each unfinished state was submitted; 0 where there is none.",
    ("state",),
)
QUEUE_DEPTH = Metric("lookalike_queue_depth", Kind.GAUGE, "Tasks that wait for a worker, by queue.", ("queue",))
STATE = (GALLERIES, GALLERY_IMAGES, JOBS, OLDEST_JOB_SECONDS, QUEUE_DEPTH)

# Of the straight path, in whichever process it runs.
STAGE_SECONDS = Metric(
    "lookalike_stage_seconds",
    Kind.HISTOGRAM,
    "Time of each stage: read and decode of one image, embed of one batch, embed_part and write_part, build and "
    "evaluate (with their backend), promote; by outcome (ok or failed).",
    ("stage", "backend", "outcome"),
    _STAGE_SECONDS,
)
IMAGES_DECODED = Metric("lookalike_images_decoded", Kind.COUNTER, "Images read, decoded and resized to be embedded.")
IMAGES_EMBEDDED = Metric("lookalike_images_embedded", Kind.COUNTER, "Images embedded.")
IMAGES_FAILED = Metric(
    "lookalike_images_failed",
    Kind.COUNTER,
    "Images that went to the failure ledger, by stage and code of the error.",
    ("stage", "code"),
)
LIVE_SWITCHES = Metric(
    "lookalike_live_switches",
    Kind.COUNTER,
    "How often this process began to serve another state of a gallery than before.",
    ("gallery",),
)
PATH = (STAGE_SECONDS, IMAGES_DECODED, IMAGES_EMBEDDED, IMAGES_FAILED, LIVE_SWITCHES)

STORE_CALLS = Metric(
    "lookalike_store_calls",
    Kind.COUNTER,
    "Calls of the object store, by operation and outcome (ok or the code of the error).",
    ("op", "outcome"),
)
STORE_SECONDS = Metric(
    "lookalike_store_seconds", Kind.HISTOGRAM, "Time of calls of the object store.", ("op",), _STORE_SECONDS
)
STORE_BYTES = Metric(
    "lookalike_store_bytes",
    Kind.COUNTER,
    "Bytes read from and written to the object store, by operation.",
    ("op",),
)
STORE_RETRIES = Metric(
    "lookalike_store_retries", Kind.COUNTER, "Requests to the object store that were made again.", ("method",)
)
STORE = (STORE_CALLS, STORE_SECONDS, STORE_BYTES, STORE_RETRIES)

TASKS_ENQUEUED = Metric("lookalike_tasks_enqueued", Kind.COUNTER, "Tasks given to a queue.", ("queue",))
TASKS_STARTED = Metric("lookalike_tasks_started", Kind.COUNTER, "Tasks that a worker began.", ("queue",))
TASKS_FINISHED = Metric(
    "lookalike_tasks_finished",
    Kind.COUNTER,
    "Tasks that a worker ended, by outcome (ok or the code of the error).",
    ("queue", "outcome"),
)
TASKS_RETRIED = Metric("lookalike_tasks_retried", Kind.COUNTER, "Tasks that will be tried again.", ("queue",))
TASK_SECONDS = Metric("lookalike_task_seconds", Kind.HISTOGRAM, "Time of tasks, by queue.", ("queue",), _STAGE_SECONDS)
QUEUE = (TASKS_ENQUEUED, TASKS_STARTED, TASKS_FINISHED, TASKS_RETRIED, TASK_SECONDS)

CACHE_BYTES = Metric(
    "lookalike_cache_bytes",
    Kind.GAUGE,
    "Bytes of this machine's cache, after the last artifact that this process put there.",
)
CACHE_EVICTIONS = Metric(
    "lookalike_cache_evictions", Kind.COUNTER, "Artifacts removed from the cache to make room for others."
)
CACHE = (CACHE_BYTES, CACHE_EVICTIONS)

# Of the process that supervises TorchServe, beside TorchServe's own.
TORCHSERVE_MODELS = Metric(
    "lookalike_torchserve_models",
    Kind.GAUGE,
    "Registered models, by state: ready (all workers answer), starting (some do not yet), idle (nobody asks for it).",
    ("state",),
)
TORCHSERVE_ACTIONS = Metric(
    "lookalike_torchserve_actions",
    Kind.COUNTER,
    "What made TorchServe's models equal to the registered ones: register, scale, unregister; by outcome (ok or the "
    "code of the error).",
    ("action", "outcome"),
)
TORCHSERVE_STARTS = Metric(
    "lookalike_torchserve_starts", Kind.COUNTER, "How often TorchServe was started by this process."
)
TORCHSERVE = (TORCHSERVE_MODELS, TORCHSERVE_ACTIONS, TORCHSERVE_STARTS)

PROCESS_WIDE = (*PATH, *STORE, *QUEUE, *CACHE)
ALL = (*HTTP, *ACCESS, *SEARCH, *STATE, *TORCHSERVE, *PROCESS_WIDE)
