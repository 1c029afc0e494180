"""Workers as processes of their own over real servers, for the proofs: started, killed and started again.

The store is a local folder, or a bucket of the S3 server that the caller started. ``full`` proofs have the size that
the project promises; those of every test run are small enough for it (``LOOKALIKE_PROOF=full`` or ``make proofs``).
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from minio import Minio
from PIL import Image
from real_servers import ACCESS_KEY, SECRET_KEY, RedisServer, SwiftServer, wait_until

from lookalike.bootstrap import wire, wire_jobs
from lookalike.jobs.port import Job, Jobs, JobState
from lookalike.pipeline.job_run import job_request
from lookalike.pipeline.models import import_model
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import Settings, load

FULL = os.environ.get("LOOKALIKE_PROOF") == "full"
# Nothing here is fast because of a short wait: they only decide how soon what died is noticed.
QUICK = {
    "LOOKALIKE_QUEUE__LEASE_S": "3",
    "LOOKALIKE_QUEUE__LOOK_EVERY_S": "1",
    "LOOKALIKE_QUEUE__VISIBILITY_S": "6",
    "LOOKALIKE_QUEUE__PART_IMAGES": "64",
    "LOOKALIKE_EMBEDDER__THREADS": "1",
    "LOOKALIKE_TELEMETRY__LOG_LEVEL": "info",
    "OMP_NUM_THREADS": "1",
}
ROLES = ("embedder", "indexer")


def draw(folder: Path, number: int, *, classes: int = 5, side: int = 64, first: int = 0) -> Path:
    """``number`` small JPEGs of noise around a colour of their class, in a folder for each class."""
    for index in range(first, first + number):
        rng = np.random.default_rng(index)
        colour = np.random.default_rng(index % classes).integers(40, 215, 3)
        pixels = np.clip(colour + rng.integers(-40, 40, (8, 8, 3)), 0, 255).astype(np.uint8)
        target = folder / f"class{index % classes}"
        target.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((side, side)).save(target / f"{index:06d}.jpg", quality=90)
    return folder


def in_bucket(server: SwiftServer, bucket: str) -> dict[str, str]:
    """Settings of a store in a bucket of the S3 server, which is made."""
    Minio(server.url.partition("//")[2], ACCESS_KEY, SECRET_KEY, secure=False).make_bucket(bucket)
    return {
        "LOOKALIKE_STORAGE__URL": f"s3://{bucket}",
        "LOOKALIKE_STORAGE__S3_ENDPOINT": server.url,
        "LOOKALIKE_STORAGE__S3_REGION": "us-east-1",
        "LOOKALIKE_STORAGE__S3_ACCESS_KEY": ACCESS_KEY,
        "LOOKALIKE_STORAGE__S3_SECRET_KEY": SECRET_KEY,
    }


@dataclass
class Worker:
    """One worker process; ``log`` is where it says things, of this and of former processes."""

    role: str
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    prefix: tuple[str, ...] = ()  # a program that runs it

    def start(self) -> None:
        command = [*self.prefix, sys.executable, "-m", "lookalike", "worker", self.role]
        self.starts += 1
        with self.log.open("ab") as sink:
            sink.write(f"start {self.starts}\n".encode())
            sink.flush()
            self.process = subprocess.Popen(command, env=dict(self.environment), stdout=sink, stderr=sink)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None

    @property
    def is_ready(self) -> bool:
        """Whether the process that was started last has said so; one that was killed before counts as none."""
        text = self.log.read_text(errors="replace")
        return "ready for work" in text[text.rfind(f"start {self.starts}\n") :]

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class Cluster:
    """A store, a queue and workers; ``workspace`` and ``jobs`` are those of a process that only asks."""

    folder: Path
    redis: RedisServer
    environment: dict[str, str]
    settings: Settings
    workspace: Workspace
    jobs: Jobs
    workers: list[Worker] = field(default_factory=list)

    def add(self, role: str) -> Worker:
        """One more worker, started."""
        number = len(self.workers)
        worker = Worker(role, self.environment, self.folder / f"{role}-{number}.log")
        worker.start()
        self.workers.append(worker)
        return worker

    def stop_workers(self) -> None:
        for worker in self.workers:
            worker.kill()

    def revive(self) -> None:
        """Starts every worker that is not alive."""
        for worker in self.workers:
            if not worker.is_alive:
                worker.start()

    def submit(self, kind: str, gallery: str, **params: object) -> Job:
        folders = self.settings.jobs.source_folders
        return self.jobs.submit(job_request(self.workspace, kind, gallery, params, source_folders=folders))

    def ended(self, job: Job, *, timeout_s: float = 240.0) -> Job:
        done = self.jobs.wait(job.job_id, timeout_s=timeout_s)
        assert done.state.has_ended, f"{done}\n{self.logs()}"
        return done

    def succeeded(self, job: Job, *, timeout_s: float = 240.0) -> Job:
        done = self.ended(job, timeout_s=timeout_s)
        assert done.state is JobState.SUCCEEDED, f"{done}\n{self.logs()}"
        return done

    def run(self, kind: str, gallery: str, *, timeout_s: float = 240.0, **params: object) -> Job:
        """Submits a job and waits until it has succeeded."""
        return self.succeeded(self.submit(kind, gallery, **params), timeout_s=timeout_s)

    def reached(self, job: Job, stage: str, *, done: int = 0) -> None:
        """Returns once the job has told that it is at this stage, and so far."""

        def is_there() -> bool:
            present = self.jobs.get(job.job_id)
            assert not present.state.has_ended, f"ended before {stage}: {present}"
            return present.stage == stage and present.done >= done

        wait_until(is_there, what=f"{stage} of {job.kind}", timeout_s=120)

    def logs(self) -> str:
        return "\n".join(f"== {w.log.name}\n{w.log.read_text(errors='replace')[-3000:]}" for w in self.workers)


@contextmanager
def cluster(
    folder: Path, redis: RedisServer, *, roles: tuple[str, ...] = ROLES, more: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """A cluster with the baseline models in its store; its workers are killed at the end."""
    usual = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
    environment = {
        **usual,
        **QUICK,
        "LOOKALIKE_STORAGE__FOLDER": str(folder / "store"),
        "LOOKALIKE_STORAGE__CACHE": str(folder / "cache"),
        "LOOKALIKE_JOBS__SOURCE_FOLDERS": str(folder),
        "LOOKALIKE_QUEUE__URL": redis.url,
        **(more or {}),
    }
    settings = load(environment)
    workspace = wire(settings)
    jobs = wire_jobs(settings, workspace)
    made = Cluster(folder, redis, environment, settings, workspace, jobs)
    try:
        for name in ("pixels16", "color_edges"):
            import_model(workspace, f"baseline:{name}")
        for role in roles:
            made.add(role)
        yield made
    finally:
        made.stop_workers()
        jobs.close()
        workspace.close()


@dataclass
class Killer:
    """Kills a worker at a random moment, again and again; a seed chooses the victims and the moments.

    Most victims are given the time to begin: where a worker takes longer to start than it lives, nothing is done.
    """

    cluster: Cluster
    seed: int = 0
    longest_s: float = 8.0
    at_once: float = 0.1
    kills: int = 0

    def until_ended(self, job: Job, *, timeout_s: float = 600.0) -> Job:
        """Kills until the job has ended, and starts again what it killed."""
        rng = random.Random(f"{self.seed}/{job.kind}/{self.kills}")
        until = time.monotonic() + timeout_s
        while not (now := self.cluster.jobs.get(job.job_id)).state.has_ended:
            assert time.monotonic() < until, f"{now}\n{self.cluster.logs()}"
            victim = rng.choice(self.cluster.workers)
            if rng.random() >= self.at_once:
                wait_until(lambda: victim.is_ready, what=f"{victim.role} is ready", timeout_s=120)  # noqa: B023
            time.sleep(rng.uniform(0.0, self.longest_s))
            victim.kill()
            victim.start()
            self.kills += 1
        return now
