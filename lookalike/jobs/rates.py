"""How fast a job goes and when its stage will be done, from what it reported so far.

Work is done in parts of many images, so ``done`` stands still and then jumps: a rate is taken from jump to jump, and
a pause says something only once it is longer than those before it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from lookalike.jobs.port import JobState, JobSummary

WINDOW_S = 300.0  # what is older says little of now
_KEPT = 100  # samples of one job
_JOBS = 1000
IMAGE_STAGES = frozenset({"ingest", "embed"})  # whose done counts images; others count indexes or comparisons


@dataclass(frozen=True)
class Sample:
    """What was reported at a moment, in seconds of a clock that never goes back."""

    at_s: float
    stage: str
    done: int
    total: int | None = None


@dataclass(frozen=True)
class Rate:
    """``per_s`` is in units of the stage; ``eta_s`` is until the end of the stage, not below 0. None: not known."""

    per_s: float | None = None
    eta_s: float | None = None


def followed(samples: tuple[Sample, ...], sample: Sample) -> tuple[Sample, ...]:
    """``samples`` of one job with another: those where something was done, since the stage last began.

    A new stage, or less done than before, begins anew. Two are kept however old they are, so that slow work has a
    rate too.
    """
    if not samples:
        return (sample,)
    last = samples[-1]
    if sample.stage != last.stage or sample.done < last.done:
        return (sample,)
    if sample.done == last.done:
        return (*samples[:-1], Sample(last.at_s, last.stage, last.done, sample.total))
    kept = [one for one in samples[:-1] if sample.at_s - one.at_s <= WINDOW_S]
    return (*kept[-_KEPT:], last, sample)


def rate(samples: tuple[Sample, ...], now_s: float) -> Rate:
    """The rate of :func:`followed` samples at the moment ``now_s``; unknown until something was done between two."""
    if not samples:
        return Rate()
    first, last = samples[0], samples[-1]
    remaining = None if last.total is None else max(last.total - last.done, 0)
    pauses = [after.at_s - before.at_s for before, after in pairwise(samples)]
    usual_s = max(pauses, default=0.0)
    waited_s = max(now_s - last.at_s, 0.0)
    took_s = last.at_s - first.at_s + max(waited_s - usual_s, 0.0)
    if last.done == first.done or took_s <= 0:
        return Rate(eta_s=0.0 if remaining == 0 else None)
    per_s = (last.done - first.done) / took_s
    eta_s = None if remaining is None else max(remaining / per_s - min(waited_s, usual_s), 0.0)
    return Rate(per_s, eta_s)


class JobRates:
    """The rates of the jobs that this process looks at, from what it saw of them; safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: dict[str, tuple[Sample, ...]] = {}
        self._lock = threading.Lock()

    def of(self, job: JobSummary) -> Rate:
        """Takes note of ``job`` as it is now, and says how fast it goes; nothing of one that does not run."""
        now_s = self._clock()
        with self._lock:
            former = self._samples.pop(job.job_id, ())
            if job.state is not JobState.RUNNING or not job.stage:
                return Rate()
            samples = followed(former, Sample(now_s, job.stage, job.done, job.total))
            self._samples[job.job_id] = samples  # at the end: the first is the one that was not asked for longest
            if len(self._samples) > _JOBS:
                self._samples.pop(next(iter(self._samples)))
        return rate(samples, now_s)


def images_per_s(job: JobSummary, found: Rate) -> float | None:
    """The rate in images, where the job's stage counts them."""
    return found.per_s if job.stage in IMAGE_STAGES else None
