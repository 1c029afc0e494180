"""What the gateway takes of its clients: slow ones, large ones, other origins, other names."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from gateway_access import BOOTSTRAP, gateway
from gateway_calls import SEARCH, first_image, png, problem
from gateway_store import settings_of
from slow_clients import TIMEOUT_S, connected, served, within
from starlette.types import Message, Receive, Scope, Send

from lookalike.bootstrap import wire, wire_jobs
from services.gateway.access_rules import OPEN_PATHS
from services.gateway.app import create_app
from services.gateway.body_limit import LEAST_BYTES_PER_S, MOST_AT_ONCE, OPEN_BYTES, BodyLimit
from services.gateway.connections import MAX_HEAD_BYTES
from services.gateway.cross_origin import CrossOrigin
from services.gateway.host_names import HostNames
from services.gateway.web_rules import WebRules

SLOW_S = 1.0  # how long this gateway waits, so that the tests need not
POST = b"POST /v1/galleries HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
APP = "https://app.example"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("slow")
    shutil.copytree(prepared / "store", folder / "store")
    settings = settings_of(folder)
    workspace = wire(settings)
    app = create_app(workspace, wire_jobs(settings, workspace), web=WebRules(slow_client_s=SLOW_S))
    with served(app, slow_s=SLOW_S) as made:
        yield made
    workspace.close()


def test_a_head_that_never_ends_is_cut_off(port: int) -> None:
    with connected(port) as client, within(SLOW_S * 0.5, TIMEOUT_S / 2):
        assert client.trickle(b"GET /healthz HTTP/1.1\r\nX-Slow: " + b"a" * 500, every_s=SLOW_S / 10) == b""


def test_so_is_a_connection_that_says_nothing(port: int) -> None:
    with connected(port) as client, within(SLOW_S * 0.5, TIMEOUT_S / 2):
        assert client.rest() == b""


def test_and_the_head_of_a_second_request(port: int) -> None:
    with connected(port) as client:
        client.send(GET)
        with within(SLOW_S * 0.5, TIMEOUT_S / 2):
            answered = client.trickle(b"GET /healthz HTTP/1.1\r\nX-Slow: " + b"a" * 500, every_s=SLOW_S / 10)
        assert answered.count(b"HTTP/1.1 200 OK") == 1


@pytest.mark.parametrize("body", [b'{"name": "' + b"a" * 60 + b'"}'])
def test_a_body_that_trickles_is_answered_and_cut_off(port: int, body: bytes) -> None:
    with connected(port) as client, within(SLOW_S * 0.5, TIMEOUT_S / 2):
        client.send(POST % len(body))
        answered = client.trickle(body, every_s=SLOW_S / 10)
    assert answered.startswith(b"HTTP/1.1 408 Request Timeout")
    assert b'"code": "request_too_slow"' in answered
    assert b"connection: close" in answered.lower()


def test_a_refused_body_that_goes_on_is_cut_off(port: int) -> None:
    with connected(port) as client, within(SLOW_S * 0.5, TIMEOUT_S / 2):
        client.send(POST % 10**9)
        first = client.socket.recv(65536)
        assert first.startswith(b"HTTP/1.1 413")
        client.trickle(b"a" * 500, every_s=SLOW_S / 10)


def test_a_slow_body_that_gets_on_is_taken(port: int) -> None:
    body = json.dumps({"name": "slowly", "filler": "d" * 10 * LEAST_BYTES_PER_S}).encode()
    with connected(port) as client, within(SLOW_S, TIMEOUT_S):
        client.send(POST % len(body))
        answered = client.trickle(body, every_s=SLOW_S / 20, at_once=1024)
    assert b'"code": "invalid_request"' in answered  # it was read to its end: there is no such field


def test_whoever_listens_to_a_stream_is_no_slow_client() -> None:
    """Once the body is there, a client may stay silent for as long as the answer goes on."""
    slow_s, seen = 0.05, []

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((await receive())["type"])
        seen.append((await receive())["type"])

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        went: asyncio.Future[Message] = loop.create_future()
        messages: Iterator[Message] = iter([{"type": "http.request", "body": b"{}", "more_body": False}])

        async def receive() -> Message:
            return next(messages, None) or await went

        async def send(message: Message) -> None:
            raise AssertionError(message)

        loop.call_later(4 * slow_s, went.set_result, {"type": "http.disconnect"})
        limit = BodyLimit(stream, max_bytes=100, max_json_bytes=100, slow_s=slow_s)
        await limit({"type": "http", "headers": []}, receive, send)

    asyncio.run(ask())
    assert seen == ["http.request", "http.disconnect"]


def test_a_head_has_a_limit(port: int) -> None:
    with connected(port) as client:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Large: " + b"a" * (MAX_HEAD_BYTES + 1000))
        assert client.rest().startswith(b"HTTP/1.1 400")
    with connected(port) as client:
        client.send(GET[:-2] + b"X-Fair: " + b"a" * 8000 + b"\r\n\r\n")
        assert client.socket.recv(65536).startswith(b"HTTP/1.1 200")


def test_the_gateway_does_not_say_what_it_is_made_of(port: int) -> None:
    with connected(port) as client:
        client.send(GET)
        assert b"\r\nserver:" not in client.socket.recv(65536).lower()


def test_what_is_parsed_whole_is_smaller_than_an_upload(tmp_path: Path, prepared: Path) -> None:
    shutil.copytree(prepared / "store", tmp_path / "store")
    limits = {"LOOKALIKE_GATEWAY__MAX_JSON_BYTES": "10000", "LOOKALIKE_GATEWAY__MAX_UPLOAD_BYTES": "2000000"}
    with gateway(tmp_path, "127.0.0.1", **limits) as client:
        client.headers["Host"] = "localhost"
        as_json = {"Content-Type": "application/json"}
        said = problem(client.post(SEARCH, content=b" " * 10_001, headers=as_json), 413, "request_too_large")
        assert "10000 bytes" in said["detail"]
        chunks = (b" " * 1000 for _ in range(11))
        problem(client.post(SEARCH, content=chunks, headers=as_json), 413, "request_too_large")
        problem(client.post(SEARCH, content=b" " * 10_001, headers={"Content-Type": "multi"}), 413, "request_too_large")
        image = png(size=(400, 300)) + b"\0" * 20_000
        assert client.post(SEARCH, files={"image": ("q.png", image)}).status_code in (200, 422)
        problem(client.post(SEARCH, files={"image": ("q", b"a" * 2_000_001)}), 413, "request_too_large")


def test_uploads_together_have_a_limit_and_give_their_room_back() -> None:
    statuses: list[int] = []

    async def ask() -> None:
        may_answer, num_read = asyncio.Event(), 0

        async def hold(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal num_read
            await receive()
            num_read += 1
            await may_answer.wait()
            await send({"type": "http.response.start", "status": 202, "headers": []})

        limit = BodyLimit(hold, max_bytes=1000, max_json_bytes=1000, slow_s=30)

        async def upload() -> None:
            async def receive() -> Message:
                return {"type": "http.request", "body": b"x" * 1000, "more_body": False}

            async def send(message: Message) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])

            await limit({"type": "http", "headers": []}, receive, send)

        largest = [asyncio.create_task(upload()) for _ in range(MOST_AT_ONCE)]
        while num_read < MOST_AT_ONCE:
            await asyncio.sleep(0)
        await upload()
        assert statuses == [503]
        may_answer.set()
        await asyncio.gather(*largest)
        await upload()
        assert statuses == [503, *[202] * (MOST_AT_ONCE + 1)]

    asyncio.run(ask())


def test_what_anybody_may_send_is_small(tmp_path: Path) -> None:
    """Who has no key would else hold the room that all bodies together have, for as long as it takes to send them."""
    with gateway(tmp_path, LOOKALIKE_ACCESS__BOOTSTRAP_KEY=BOOTSTRAP) as client:
        for path in sorted(OPEN_PATHS):
            content = json.dumps({"key": "a" * OPEN_BYTES}).encode()
            for body in (content, iter([content])):  # the latter does not say how large it is
                answer = client.request("POST", path, content=body, headers={"Content-Type": "application/json"})
                assert answer.status_code in (404, 405, 413), path
        problem(client.post("/v1/session", json={"key": "a" * OPEN_BYTES}), 413, "request_too_large")
        assert client.post("/v1/session", json={"key": BOOTSTRAP}).status_code == 200


def test_an_upload_has_a_limit_of_parts(tmp_path: Path, prepared: Path) -> None:
    shutil.copytree(prepared / "store", tmp_path / "store")
    with gateway(tmp_path, "127.0.0.1") as client:
        client.headers["Host"] = "localhost"
        files = [("image", (f"{number}", b"x")) for number in range(1001)]
        problem(client.post("/v1/galleries/colors/images", files=files), 400, "malformed_request")
        two = [("image", ("a", b"x")), ("image", ("b", b"x"))]
        problem(client.post(SEARCH, files=two), 400, "malformed_request")
        fields = {f"field{number}": "x" for number in range(1001)}
        said = client.post("/v1/galleries/colors/images", files=[("image", ("a", b"x"))], data=fields)
        problem(said, 400, "malformed_request")


def test_origins_that_are_named_may_use_the_api_and_no_other(tmp_path: Path, prepared: Path) -> None:
    shutil.copytree(prepared / "store", tmp_path / "store")
    more = {
        "LOOKALIKE_ACCESS__BOOTSTRAP_KEY": BOOTSTRAP,
        "LOOKALIKE_ACCESS__CORS_ORIGINS": f"{APP},http://localhost:3000",
    }
    with gateway(tmp_path, **more) as client:
        asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        preflight = client.options(SEARCH, headers={"Origin": APP, **asks})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == APP
        assert "Authorization" in preflight.headers["access-control-allow-headers"]
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in preflight.headers  # never with a cookie

        key = {"Authorization": f"Bearer {BOOTSTRAP}", "Origin": APP, "Sec-Fetch-Site": "cross-site"}
        made = client.post("/v1/galleries", json={"name": "from-there"}, headers=key)
        assert made.status_code == 201
        assert made.headers["access-control-allow-origin"] == APP
        assert made.headers["vary"] == "Origin"
        assert "Location" in made.headers["access-control-expose-headers"]
        # Also where it is told why not.
        refused = client.get("/v1/galleries", headers={"Origin": APP})
        problem(refused, 401, "key_missing")
        assert refused.headers["access-control-allow-origin"] == APP

        for other in ("https://app.example.evil", "http://app.example", "https://app.example:444", "null", "*"):
            headers = {**key, "Origin": other}
            problem(client.post("/v1/galleries", json={"name": "no"}, headers=headers), 403, "cross_origin")
            assert "access-control-allow-origin" not in client.get("/v1/galleries", headers=headers).headers
            preflight = client.options(SEARCH, headers={"Origin": other, **asks})
            assert "access-control-allow-origin" not in preflight.headers
        assert client.get("/healthz").headers["vary"] == "Origin"


def test_by_default_there_is_no_other_origin() -> None:
    assert CrossOrigin().answer_headers({"origin": APP}) == []
    assert not CrossOrigin().allows({"origin": ""})
    assert CrossOrigin().preflight("OPTIONS", {"origin": APP, "access-control-request-method": "GET"}) is None


@pytest.mark.parametrize("path", ["/", "/docs", "/healthz", "/v1/galleries", "/nothing"])
def test_every_answer_has_the_headers(module_client: TestClient, path: str) -> None:
    headers = module_client.get(path).headers
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert "strict-transport-security" not in headers  # nobody said that there is TLS


def test_a_page_cannot_call_itself_by_the_address_of_a_gateway_without_keys(tmp_path: Path, prepared: Path) -> None:
    shutil.copytree(prepared / "store", tmp_path / "store")
    with gateway(tmp_path, "127.0.0.1") as client:
        rebound = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}
        problem(client.get("/v1/galleries", headers=rebound), 421, "unknown_host")
        for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000", "192.168.1.5", "lookalike.localhost"):
            assert client.get("/v1/galleries", headers={"Host": host}).status_code == 200
    with gateway(tmp_path, "127.0.0.1", LOOKALIKE_GATEWAY__HOSTS="images.example") as client:
        assert client.get("/v1/galleries", headers={"Host": "Images.Example:443"}).status_code == 200
        problem(client.get("/v1/galleries", headers={"Host": "localhost"}), 421, "unknown_host")
    with gateway(tmp_path, LOOKALIKE_ACCESS__BOOTSTRAP_KEY=BOOTSTRAP) as client:  # behind keys: any name
        client.headers["X-API-Key"] = BOOTSTRAP
        assert first_image(client)["key"]


@pytest.mark.parametrize("host", ["", "localhost.evil.example", "127.0.0.1.evil.example", "[evil]", "evil", "1.2.3"])
def test_names_that_somebody_else_can_have(host: str) -> None:
    assert not HostNames().allow(host)
