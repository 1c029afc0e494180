"""What the adapter of TorchServe makes of answers that are late, wrong or none. The contract suite has the real one."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from scripted_embedder import Script

from lookalike.embedding.remote_protocol import served_name
from lookalike.embedding.torchserve import TorchServeEmbedder, reconcile
from lookalike.errors import DependencyUnavailable, InvalidRequest
from lookalike.types.models import ModelManifest, ResizePolicy

MANIFEST = ModelManifest(
    name="m", version=3, dimension=2, input_size=4, resize_policy=ResizePolicy.SQUASH, digest="a" * 64
)
DIGEST = MANIFEST.embedding_digest


def described(**other):
    manifest = MANIFEST.model_copy(update={"version": None, **other})
    return (
        200,
        {},
        json.dumps(
            {
                "manifest": manifest.model_dump(mode="json"),
                "batch_size": 2,
                "max_images": 3,
                "runtime": {"precision": "float32", "device": "cpu", "batch_size": 2, "threads": 1},
            }
        ).encode(),
    )


def rows(*found, digest=DIGEST):
    return 200, {"Lookalike-Shape": f"{len(found)},2", "Lookalike-Model": digest}, np.array(found, "<f4").tobytes()


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now_s = 0.0
        self.pauses = []

    def sleep(self, pause_s):
        self.pauses.append(pause_s)
        self.now_s += pause_s

    def now(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def opened(server: Script, clock: Clock, **options) -> TorchServeEmbedder:
    return TorchServeEmbedder(
        server.url,
        MANIFEST,
        token="t",  # noqa: S106
        sleep=clock.sleep,
        now=clock.now,
        **{"in_flight": 1, **options},
    )


def images(num_images):
    return np.zeros((num_images, 4, 4, 3), np.uint8)


def test_it_asks_for_the_model_by_what_it_computes(server, clock):
    server.answers = [described(), rows((0.6, 0.8))]
    embedder = opened(server, clock)
    assert (embedder.batch_size, embedder.runtime.batch_size) == (2, 2)
    assert embedder.embed(images(1)) == pytest.approx(np.array([[0.6, 0.8]]))
    path = f"/predictions/m-{DIGEST[:32]}"
    assert server.requests == [("POST", path), ("POST", path)]
    assert server.headers[0]["lookalike-describe"] == "1"
    assert server.headers[1]["lookalike-shape"] == "1,4,4,3"
    assert {headers["authorization"] for headers in server.headers} == {"Bearer t"}
    embedder.close()


def test_two_preparations_of_one_program_have_two_names():
    other = MANIFEST.model_copy(update={"resize_policy": ResizePolicy.LETTERBOX})
    assert served_name(other) != served_name(MANIFEST)


def test_large_batches_go_in_requests_of_its_batch_size(server, clock):
    server.answers = [described(), rows((1, 0), (0, 1)), rows((1, 0), (0.6, 0.8)), rows((0, 1))]
    embedder = opened(server, clock)
    expected = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8], [0, 1]])
    assert embedder.embed(images(5)) == pytest.approx(expected)
    assert [headers["lookalike-shape"] for headers in server.headers[1:]] == ["2,4,4,3", "2,4,4,3", "1,4,4,3"]
    embedder.close()


@pytest.mark.parametrize("status", [404, 429, 503])
def test_a_server_without_room_is_asked_again_for_as_long_as_it_may_take(server, clock, status):
    server.answers = [described(), *[(status, {}, b"")] * 12, rows((1, 0))]
    embedder = opened(server, clock, patience_s=30)
    assert embedder.embed(images(1)) == pytest.approx(np.array([[1, 0]]))
    assert len(clock.pauses) == 12
    for attempt, pause_s in enumerate(clock.pauses):
        whole = min(0.1 * 2**attempt, 2.0)
        assert whole / 2 <= pause_s <= whole
    assert len({round(pause_s, 6) for pause_s in clock.pauses}) > 6, "clients that come back together must not"
    embedder.close()


@pytest.mark.parametrize(("status", "said"), [(503, "answered 503"), (404, "does not serve m@3")])
def test_patience_ends(server, clock, status, said):
    server.answers = [described(), (status, {}, b"")]
    embedder = opened(server, clock, patience_s=5)
    with pytest.raises(DependencyUnavailable, match=said):
        embedder.embed(images(1))
    assert 3 <= clock.now_s <= 5  # the next pause of up to two seconds would be too long
    embedder.close()


def test_what_found_no_answer_is_sent_three_times(server, clock):
    server.answers = [described(), (502, {}, b"")]
    embedder = opened(server, clock)
    with pytest.raises(DependencyUnavailable, match="502"):
        embedder.embed(images(1))
    assert len(server.requests) == 1 + 3
    assert clock.pauses == [0.1, 0.2]
    embedder.close()


@pytest.mark.parametrize("status", [400, 413, 415, 422, 500])
def test_what_will_not_pass_is_not_tried_again(server, clock, status):
    problem = json.dumps({"title": "what is wrong", "status": status, "code": "x"}).encode()
    server.answers = [described(), (status, {"Content-Type": "application/problem+json"}, problem)]
    embedder = opened(server, clock)
    with pytest.raises(DependencyUnavailable, match=f"answered {status}: what is wrong"):
        embedder.embed(images(1))
    assert len(server.requests) == 1 + 1
    embedder.close()


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_named_but_not_shown(server, clock, status):
    server.answers = [(status, {}, b"")]
    with pytest.raises(DependencyUnavailable, match="refuses the token") as raised:
        TorchServeEmbedder(server.url, MANIFEST, token="hush", sleep=clock.sleep)  # noqa: S106
    assert "hush" not in raised.value.message


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"Lookalike-Model": DIGEST}, b"\0" * 8),
        (200, {"Lookalike-Model": DIGEST, "Lookalike-Shape": "2,2"}, b"\0" * 16),
        (200, {"Lookalike-Model": DIGEST, "Lookalike-Shape": "1,2"}, b"\0" * 7),
    ],
)
def test_answers_of_another_shape_are_refused(server, clock, answer):
    server.answers = [described(), answer]
    embedder = opened(server, clock)
    with pytest.raises(DependencyUnavailable, match="shape"):
        embedder.embed(images(1))
    embedder.close()


def test_another_model_is_refused_when_it_says_what_it_is_and_when_it_answers(server, clock):
    server.answers = [described(digest="b" * 64)]
    with pytest.raises(DependencyUnavailable, match="another model under the name of m@3"):
        opened(server, clock)
    server.answers = [described(), rows((1, 0), digest="b" * 64)]
    embedder = opened(server, clock)
    with pytest.raises(DependencyUnavailable, match="another model than m@3"):
        embedder.embed(images(1))
    embedder.close()


@pytest.mark.parametrize("answer", [(200, {}, b"<html>"), (200, {}, b"{}")])
def test_another_service_is_not_taken_for_torchserve(server, clock, answer):
    server.answers = [answer]
    with pytest.raises(DependencyUnavailable, match="no TorchServe of this version"):
        opened(server, clock)


def test_nobody_there(clock):
    with pytest.raises(DependencyUnavailable, match="does not answer"):
        TorchServeEmbedder("http://127.0.0.1:1", MANIFEST, sleep=clock.sleep)
    assert clock.pauses == [0.1, 0.2]
    with pytest.raises(InvalidRequest, match="URL"):
        TorchServeEmbedder("torchserve:8080", MANIFEST)


def test_so_many_requests_are_under_way_and_no_more():
    """A server that answers only once two requests are there, and counts how many there are."""
    present, most, lock = 0, [0], threading.Lock()
    together = threading.Barrier(2)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            nonlocal present
            num_images = self.headers.get("Lookalike-Shape", "").partition(",")[0]
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = described()
            if num_images:
                with lock:
                    present += 1
                    most[0] = max(most[0], present)
                together.wait(10)
                answer = rows(*[(1, 0)] * int(num_images))
                with lock:
                    present -= 1
            self.send_response(answer[0])
            for name, value in {**answer[1], "Content-Length": str(len(answer[2]))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer[2])

        def log_message(self, format: str, *_: object) -> None: ...

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    serving = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    serving.start()
    embedder = TorchServeEmbedder(f"http://127.0.0.1:{httpd.server_port}", MANIFEST, in_flight=2)
    assert embedder.embed(images(16)).shape == (16, 2)
    assert most == [2]
    embedder.close()
    httpd.shutdown()
    serving.join()
    httpd.server_close()


def test_reconcile_says_what_the_supervisor_did(server):
    server.answers = [(200, {}, b'{"actions": ["registered m"], "models": {}, "errors": [], "complete": false}')]
    done = reconcile(server.url, "t")
    assert (done.actions, done.complete) == (("registered m",), False)
    assert server.requests == [("POST", "/v1/reconcile")]
    server.answers = [(200, {}, b"[]")]
    with pytest.raises(DependencyUnavailable, match="no TorchServe of ours"):
        reconcile(server.url, None)


def test_it_needs_no_torch():
    program = (
        "import sys; sys.modules['torch'] = None; import lookalike.embedding.torchserve; "
        "import services.embedder.worker; import lookalike.bootstrap; print('torch' in dir())"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
