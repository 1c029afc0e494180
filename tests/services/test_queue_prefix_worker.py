"""Two deployments on one Redis database, each with a worker: each does its own jobs and no other's."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis
from drawn_pictures import draw_pictures
from real_servers import RedisServer, wait_until

from lookalike.bootstrap import wire, wire_jobs
from lookalike.jobs.port import Jobs, JobState
from lookalike.pipeline.job_run import job_request
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load

TIMEOUT_S = 120


class Deployment:
    """A store of its own behind a prefix of its own."""

    def __init__(self, folder: Path, server: RedisServer, prefix: str) -> None:
        folder.mkdir()
        usual = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
        self.folder = folder
        self.environment = {
            **usual,
            "LOOKALIKE_STORAGE__FOLDER": str(folder / "store"),
            "LOOKALIKE_STORAGE__CACHE": str(folder / "cache"),
            "LOOKALIKE_QUEUE__URL": server.url,
            "LOOKALIKE_QUEUE__PREFIX": prefix,
            "LOOKALIKE_QUEUE__LOOK_EVERY_S": "3600",
            "LOOKALIKE_JOBS__SOURCE_FOLDERS": str(folder.parent),
            "LOOKALIKE_TELEMETRY__LOG_LEVEL": "info",
        }

    @contextmanager
    def asking(self) -> Iterator[tuple[Workspace, Jobs]]:
        settings = load(self.environment, self.folder / "none.toml")
        workspace = wire(settings)
        jobs = wire_jobs(settings, workspace)
        try:
            yield workspace, jobs
        finally:
            jobs.close()
            workspace.close()

    @contextmanager
    def worker(self) -> Iterator[Path]:
        """A worker that is ready; its log."""
        log = self.folder / "worker.log"
        with log.open("wb") as sink:
            command = [sys.executable, "-m", "lookalike", "worker", "indexer"]
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=sink, stderr=sink)
        try:
            wait_until(lambda: "ready for work" in log.read_text(), what=f"{log}", timeout_s=TIMEOUT_S)
            yield log
            assert process.poll() is None, log.read_text()
        finally:
            process.kill()
            process.wait()


def test_each_worker_does_the_jobs_of_its_own_deployment(tmp_path: Path, redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    pictures = draw_pictures(tmp_path / "pictures", per_color=2)
    one, two = (Deployment(tmp_path / name, redis_server, f"{name}:") for name in ("one", "two"))
    with ExitStack() as ends:
        asked = [ends.enter_context(deployment.asking()) for deployment in (one, two)]
        params = {"source": str(pictures)}
        submitted = [
            jobs.submit(job_request(workspace, "ingest", "colors", params, source_folders=[tmp_path]))
            for workspace, jobs in asked
        ]
        with one.worker():
            done = asked[0][1].wait(submitted[0].job_id, timeout_s=TIMEOUT_S)
            assert done.state is JobState.SUCCEEDED, done
            # The other's message is still there: nobody took it.
            assert asked[1][1].get(submitted[1].job_id).state is JobState.QUEUED
            with two.worker() as log:
                done = asked[1][1].wait(submitted[1].job_id, timeout_s=TIMEOUT_S)
                assert done.state is JobState.SUCCEEDED, log.read_text()
        for workspace, _ in asked:
            assert workspace.galleries.version("colors").num_images == 6
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        assert {key.partition(":")[0] for key in client.keys("*")} <= {"one", "two"}
