"""/readyz asks every server, and waits long for none."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from real_servers import wait_until

from lookalike.bootstrap_health import server_checks
from lookalike.errors import DependencyUnavailable
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load
from services.gateway.dependencies import Dependencies
from services.gateway.readiness import Opener, Readier


def test_each_says_for_itself() -> None:
    def refuses() -> None:
        raise DependencyUnavailable("it refuses", dependency="b")

    def breaks() -> None:
        raise PermissionError(13, "Permission denied", "/secret/place")

    looked = Dependencies({"a": lambda: None, "b": refuses, "c": breaks}).look()
    assert looked == {"a": "ok", "b": "it refuses", "c": "PermissionError"}


def test_one_that_hangs_is_asked_once_at_a_time_and_its_answer_is_known_when_it_comes() -> None:
    answers, asked = threading.Event(), []

    def hangs() -> None:
        asked.append(1)
        answers.wait(60)

    dependencies = Dependencies({"slow": hangs, "quick": lambda: None}, wait_s=0.05)
    began = time.monotonic()
    for _ in range(3):
        assert dependencies.look() == {"slow": "slow does not answer for 0 s", "quick": "ok"}
    assert time.monotonic() - began < 10
    assert len(asked) == 1
    answers.set()
    wait_until(lambda: dependencies.look()["slow"] == "ok", what="its answer")


def test_an_error_of_ours_is_no_answer_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, logged = iter([None, ValueError("a mistake")]), threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: logged.set())

    def asks() -> None:
        found = next(wrong)
        if found is not None:
            raise found

    dependencies = Dependencies({"store": asks})
    assert dependencies.look() == {"store": "ok"}
    assert "could not be asked" in dependencies.look()["store"]
    assert logged.wait(30)


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/base/readyz", "/healthz") else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    made = HTTPServer(("127.0.0.1", 0), _Ready)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"127.0.0.1:{made.server_port}"
    made.shutdown()
    thread.join()
    made.server_close()


def test_servers_of_the_settings_are_asked_where_they_answer_without_a_key(server: str) -> None:
    settings = load(
        {"LOOKALIKE_QDRANT__URL": f"http://{server}/base/", "LOOKALIKE_EMBEDDER__URL": f"http://user:pass@{server}"}
    )
    checks = server_checks(settings)
    assert {name: check() for name, check in checks.items()} == {"embedder": None, "qdrant": None}


def test_a_server_that_is_not_ready_or_not_there_is_unavailable(server: str) -> None:
    checks = server_checks(
        load({"LOOKALIKE_QDRANT__URL": f"http://{server}/other", "LOOKALIKE_EMBEDDER__URL": "http://me:hidden@[::1]:9"})
    )
    with pytest.raises(DependencyUnavailable, match=r"^qdrant is not ready: 503$"):
        checks["qdrant"]()
    with pytest.raises(DependencyUnavailable, match=r"^embedder does not answer: ConnectError$"):
        checks["embedder"]()


def test_without_servers_nothing_is_asked() -> None:
    assert server_checks(load({})) == {}


def test_readiness_is_looked_at_once_a_second_by_one_thread(workspace: Workspace) -> None:
    now, asked = 100.0, []
    answers = threading.Event()
    answers.set()

    def slow() -> None:
        asked.append(1)
        answers.wait(60)

    readier = Readier(workspace, Opener(workspace), {"queue": slow}, clock=lambda: now)
    first = readier.look()
    assert readier.look() is first
    now += 1.5
    answers.clear()
    waiting = threading.Thread(target=readier.look)
    waiting.start()
    wait_until(lambda: len(asked) == 2, what="it looks again")
    began = time.monotonic()
    assert readier.look() is first  # another asks meanwhile
    assert time.monotonic() - began < 0.5
    waiting.join()
    assert readier.look().queue == "queue does not answer for 1 s"
    answers.set()
