"""Everything is started before its servers exist: nothing ends, each says once what it waits for, then work is done."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from drawn_pictures import draw_pictures
from real_servers import ACCESS_KEY, SECRET_KEY, RedisServer, SwiftServer, free_port, wait_until

TIMEOUT_S = 120


@dataclass
class Started:
    """A process of ours and what it logged."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def said(self) -> str:
        text = self.log.read_text(errors="replace")
        assert self.process.poll() is None, text
        return text

    def says(self, line: str) -> None:
        wait_until(lambda: line in self.said, what=f"{line!r} in {self.log.name}", timeout_s=TIMEOUT_S)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[RedisServer, SwiftServer]]:
    """Redis and S3, not started."""
    redis, swift = RedisServer(tmp_path / "redis"), SwiftServer(tmp_path / "swift")
    yield redis, swift
    redis.kill()
    swift.kill()


def test_processes_wait_for_their_servers_and_then_do_a_job(
    tmp_path: Path, servers: tuple[RedisServer, SwiftServer]
) -> None:
    redis, swift = servers
    pictures = draw_pictures(tmp_path / "pictures")
    port = free_port()
    usual = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
    environment = {
        **usual,
        "LOOKALIKE_STORAGE__URL": "s3://start-order/here",
        "LOOKALIKE_STORAGE__S3_ENDPOINT": swift.url,
        "LOOKALIKE_STORAGE__S3_REGION": "us-east-1",
        "LOOKALIKE_STORAGE__S3_ACCESS_KEY": ACCESS_KEY,
        "LOOKALIKE_STORAGE__S3_SECRET_KEY": SECRET_KEY,
        "LOOKALIKE_STORAGE__S3_TIMEOUT_S": "2",
        "LOOKALIKE_STORAGE__CACHE": str(tmp_path / "cache"),
        "LOOKALIKE_QUEUE__URL": redis.url,
        "LOOKALIKE_QUEUE__LOOK_EVERY_S": "1",
        "LOOKALIKE_JOBS__SOURCE_FOLDERS": str(tmp_path),
        "LOOKALIKE_GATEWAY__PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }

    def call(path: str, body: object = None) -> dict[str, object]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            found: dict[str, object] = json.load(answer)
            return found

    started: list[Started] = []
    try:
        for name, command in (
            ("gateway", ["serve"]),
            ("embedder", ["worker", "embedder"]),
            ("indexer", ["worker", "indexer"]),
        ):
            log = tmp_path / f"{name}.log"
            with log.open("wb") as sink:
                whole = [sys.executable, "-m", "lookalike", *command]
                process = subprocess.Popen(whole, cwd=tmp_path, env=environment, stdout=sink, stderr=sink)
            started.append(Started(process, log))
        gateway, *workers = started
        gateway.says("waiting for the store")
        gateway.says("waiting for the queue")
        gateway.says("serving on")
        for worker in workers:
            worker.says("waiting for the store")
        with pytest.raises(urllib.error.HTTPError) as refused:
            call("/v1/galleries")
        assert refused.value.code == 503
        refused.value.close()

        swift.start()
        redis.start()
        setup = [sys.executable, "-m", "lookalike", "setup", "--json", "--wait-s", "60"]
        done = subprocess.run(setup, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        steps = {step["step"]: (step["state"], step["message"]) for step in json.loads(done.stdout)["steps"]}
        assert steps["store"][0] == "done"
        assert "claims" in steps["store"][1]
        assert (steps["model"][0], steps["queue"][0]) == ("done", "done")
        again = subprocess.run(setup, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
        assert {step["state"] for step in json.loads(again.stdout)["steps"]} == {"unchanged", "done"}

        for process in started:
            process.says("the store answers after")
        gateway.says("the queue answers after")
        job = call("/v1/jobs", {"kind": "ingest", "gallery": "colors", "params": {"source": str(pictures)}})

        def ended() -> bool:
            present = call(f"/v1/jobs/{job['job_id']}")
            assert present["state"] not in ("failed", "cancelled"), present
            return present["state"] == "succeeded"

        wait_until(ended, what="the job", timeout_s=TIMEOUT_S)
        for process in started:
            said = process.said
            assert said.count("waiting for the store") == said.count("the store answers after") == 1, said
            assert "Traceback" not in said
            assert "SecurityWarning" not in said
    finally:
        for process in started:
            process.process.kill()
            process.process.wait()


def test_a_worker_that_waits_ends_when_it_is_told_to(tmp_path: Path) -> None:
    usual = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
    environment = {**usual, "LOOKALIKE_QUEUE__URL": f"redis://127.0.0.1:{free_port()}/0"}
    log = tmp_path / "indexer.log"
    with log.open("wb") as sink:
        command = [sys.executable, "-m", "lookalike", "worker", "indexer"]
        started = Started(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=sink, stderr=sink), log)
    try:
        started.says("waiting for the queue")
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(TIMEOUT_S) == 128 + signal.SIGTERM
        assert "Traceback" not in log.read_text()
    finally:
        started.process.kill()
        started.process.wait()
