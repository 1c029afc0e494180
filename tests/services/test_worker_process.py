"""A worker as a process: it says when it is ready, shows its metrics, and ends when it is told to."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_servers import RedisServer, free_port, wait_until

TIMEOUT_S = 120


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


def test_a_worker_shows_its_metrics_and_says_whether_it_receives_work(tmp_path: Path, own_redis: RedisServer) -> None:
    port = free_port()
    usual = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
    environment = {
        **usual,
        "LOOKALIKE_STORAGE__FOLDER": str(tmp_path / "store"),
        "LOOKALIKE_STORAGE__CACHE": str(tmp_path / "cache"),
        "LOOKALIKE_QUEUE__URL": own_redis.url,
        "LOOKALIKE_TELEMETRY__METRICS_PORT": str(port),
        "LOOKALIKE_TELEMETRY__LOG_LEVEL": "info",
    }
    log = tmp_path / "worker.log"
    with log.open("wb") as sink:
        command = [sys.executable, "-m", "lookalike", "worker", "indexer"]
        worker = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=sink, stderr=sink)
    try:
        wait_until(lambda: "ready for work" in _said(worker, log), what="the worker is ready", timeout_s=TIMEOUT_S)
        assert _probed(port, "/readyz") == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            assert "lookalike_tasks_started_total" in answer.read().decode()
        own_redis.kill()
        wait_until(lambda: _probed(port, "/readyz") == 503, what="it says that the queue is away", timeout_s=TIMEOUT_S)
        assert _probed(port, "/healthz") == 200
        own_redis.start()
        wait_until(lambda: _probed(port, "/readyz") == 200, what="it receives again", timeout_s=TIMEOUT_S)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(TIMEOUT_S) == 0, log.read_text()
    finally:
        worker.kill()
        worker.wait()
    assert "Traceback" not in log.read_text()


def _probed(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_worker_without_a_queue_says_which_setting_is_missing(tmp_path: Path) -> None:
    usual = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
    command = [sys.executable, "-m", "lookalike", "worker", "indexer"]
    ended = subprocess.run(command, cwd=tmp_path, env=usual, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ended.returncode == 2
    assert "LOOKALIKE_QUEUE__URL" in ended.stderr


def _said(worker: "subprocess.Popen[bytes]", log: Path) -> str:
    said = log.read_text()
    if worker.poll() is not None:
        pytest.fail(f"the worker ended: {said}")
    return said
