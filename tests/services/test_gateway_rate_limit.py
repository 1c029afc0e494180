"""Rate limits over HTTP: what a request costs, what is said to those who ask too often, and whose bucket it is."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from gateway_access import gateway, key_for, workspace_of
from gateway_calls import SEARCH, first_image, png, problem, wait
from real_servers import RedisServer

from lookalike import bootstrap_access
from lookalike.errors import RateLimited
from lookalike.types.api_keys import Scope, new_key
from services.gateway.streams import Streams

SLOW = {"LOOKALIKE_ACCESS__REQUESTS_PER_MINUTE": "60", "LOOKALIKE_ACCESS__BURST_S": "20"}  # a bucket of 20


@pytest.fixture
def client(tmp_path: Path, prepared: Path) -> Iterator[TestClient]:
    """A gateway on whose clock no time goes by, unless a test says so."""
    shutil.copytree(prepared / "store", tmp_path / "store")
    with gateway(tmp_path, **SLOW) as made:
        made.app.state.gateway.access.limiter._clock = lambda: made.now_s  # type: ignore[attr-defined]
        made.now_s = 0.0  # type: ignore[attr-defined]
        yield made


def remaining(response: httpx.Response) -> int:
    """What ``RateLimit`` says is left."""
    found = re.fullmatch(r'"default";r=(\d+);t=\d+', response.headers["ratelimit"])
    assert found is not None
    return int(found[1])


def test_a_key_may_use_its_bucket_and_then_waits(client: TestClient) -> None:
    key = key_for(client, Scope.READ)
    client.get("/v1/backends", headers=key_for(client, Scope.READ))
    for left in range(19, -1, -1):
        answer = client.get("/v1/backends", headers=key)
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"] == '"default";q=20;w=20'
        assert answer.headers["ratelimit"] == f'"default";r={left};t={20 - left}'
    refused = client.get("/v1/backends", headers=key)
    assert problem(refused, 429, "rate_limited")["retry_after_s"] == 1
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["ratelimit"] == '"default";r=0;t=20'
    assert client.get("/v1/backends", headers=key_for(client, Scope.READ)).status_code == 200  # another's bucket
    assert client.get("/healthz").status_code == 200
    client.now_s += 1  # type: ignore[attr-defined]
    assert client.get("/v1/backends", headers=key).status_code == 200
    assert client.get("/v1/backends", headers=key).status_code == 429
    text = client.get("/metrics").text
    assert 'lookalike_refused_requests_total{code="rate_limited"} 2.0' in text


def test_a_key_may_have_a_limit_of_its_own(client: TestClient) -> None:
    key = key_for(client, Scope.READ, requests_per_minute=6)
    assert client.get("/v1/backends", headers=key).headers["ratelimit-policy"] == '"default";q=2;w=20'
    assert client.get("/v1/backends", headers=key).status_code == 200
    refused = client.get("/v1/backends", headers=key)
    problem(refused, 429, "rate_limited")
    assert refused.headers["retry-after"] == "10"


def test_what_is_more_work_costs_more(client: TestClient) -> None:
    image_id = first_image_of(client)["image_id"]
    one = {"image_id": image_id, "backend": "exact"}

    def left_after(call: str, **said: object) -> int:
        """Of a full bucket of 20, as the next request sees it, without its own."""
        key = key_for(client, Scope.ADMIN)
        method, _, path = call.partition(" ")
        answer = client.request(method, path, headers=key, **said)  # type: ignore[arg-type]
        assert answer.status_code < 300, answer.text
        return remaining(client.get("/v1/backends", headers=key)) + 1

    assert left_after(f"POST {SEARCH}", json=one) == 19
    assert left_after(f"POST {SEARCH}/batch", json={"searches": [one] * 7}) == 13
    assert left_after("POST /v1/galleries/colors/compare", json=one) == 16  # four backends
    pairs = [{"backend": "exact"}, {"backend": "faiss"}]
    assert left_after("POST /v1/galleries/colors/compare", json={"image_id": image_id, "pairs": pairs}) == 18
    assert left_after("GET /v1/galleries/colors/images?limit=5") == 19
    assert left_after("POST /v1/galleries/colors/estimate", json={"model": "color_edges", "sample_images": 4}) == 15
    uploads = [("image", (f"{number}.png", png((number, 9, 9)))) for number in range(6)]
    assert left_after("POST /v1/galleries/colors/images", files=uploads) == 14

    key = key_for(client, Scope.READ)
    for _ in range(8):
        path = f"/v1/galleries/colors/images/{image_id}/thumbnail"
        assert client.get(path, headers=key).status_code == 200
    assert remaining(client.get("/v1/backends", headers=key)) == 18  # eight thumbnails for one


def test_a_batch_larger_than_the_bucket_is_answered_and_paid_off(client: TestClient) -> None:
    key = key_for(client, Scope.READ)
    one = {"image_id": first_image_of(client)["image_id"], "backend": "exact"}
    answer = client.post(f"{SEARCH}/batch", json={"searches": [one] * 50}, headers=key)
    assert answer.status_code == 200
    refused = client.get("/v1/backends", headers=key)
    problem(refused, 429, "rate_limited")
    assert refused.headers["retry-after"] == "31"  # 30 are owed
    client.now_s += 31  # type: ignore[attr-defined]
    assert client.get("/v1/backends", headers=key).status_code == 200


def test_whoever_has_no_right_key_is_counted_by_address(client: TestClient) -> None:
    known = key_for(client, Scope.READ)
    assert client.get("/v1/backends", headers=known).status_code == 200
    client.now_s += 100  # type: ignore[attr-defined]
    tries = [client.get("/v1/backends") for _ in range(7)]
    tries += [client.get("/v1/backends", headers={"X-API-Key": new_key()[1]}) for _ in range(7)]
    tries += [client.post("/v1/session", json={"key": "guess"}) for _ in range(6)]
    assert {answer.status_code for answer in tries} == {401}
    for call in (
        client.get("/v1/backends"),
        client.get("/v1/backends", headers={"X-API-Key": new_key()[1]}),
        client.post("/v1/session", json={"key": new_key()[1]}),
    ):
        problem(call, 429, "rate_limited")
    assert client.get("/v1/backends", headers=known).status_code == 200  # from the same address, with a right key


@pytest.mark.parametrize(("trusted", "statuses"), [("10.0.0.0/8", {401}), ("", {401, 429})])
def test_behind_a_proxy_that_is_trusted_each_client_is_counted_by_itself(
    tmp_path: Path, trusted: str, statuses: set[int]
) -> None:
    with gateway(tmp_path, peer="10.0.0.9", LOOKALIKE_GATEWAY__TRUSTED_PROXIES=trusted, **SLOW) as client:
        found = {
            client.get(
                "/v1/backends", headers=[("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-For", f"198.51.100.{n}")]
            ).status_code
            for n in range(40)
        }
        assert found == statuses
        liar = [client.get("/v1/backends", headers={"X-Forwarded-For": f"192.0.2.{n}, 203.0.113.5"}) for n in range(40)]
        assert 429 in {answer.status_code for answer in liar}  # what the proxy wrote counts, not what it was told


def test_a_key_that_may_not_is_counted_all_the_same(client: TestClient) -> None:
    key = key_for(client, Scope.READ)
    for _ in range(20):
        problem(client.delete("/v1/galleries/colors", headers=key), 403, "scope_missing")
    problem(client.delete("/v1/galleries/colors", headers=key), 429, "rate_limited")


def test_several_gateways_share_a_bucket_over_redis(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap_access, "_REDIS_TIMEOUT_S", 30.0)  # however busy this machine is
    more = {**SLOW, "LOOKALIKE_ACCESS__REQUESTS_PER_MINUTE": "1", "LOOKALIKE_ACCESS__BURST_S": "600"}  # a bucket of 10
    more["LOOKALIKE_QUEUE__URL"] = redis_server.url
    with gateway(tmp_path, **more) as first, gateway(tmp_path, **more) as second:
        key = key_for(first, Scope.READ)
        statuses = [client.get("/v1/backends", headers=key).status_code for _ in range(8) for client in (first, second)]
        assert statuses == [200] * 10 + [429] * 6
        key = key_for(first, Scope.READ)
        batch = {"searches": [{"image_id": "0" * 32}] * 9}
        first.post(f"{SEARCH}/batch", json=batch, headers=key)
        assert second.get("/v1/backends", headers=key).status_code == 200
        problem(second.get("/v1/backends", headers=key), 429, "rate_limited")


def test_without_its_redis_the_gateway_goes_on(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    server.start()
    with gateway(tmp_path, **SLOW, LOOKALIKE_QUEUE__URL=server.url) as client:
        key = key_for(client, Scope.READ)
        assert client.get("/v1/backends", headers=key).status_code == 200
        server.kill()
        statuses = [client.get("/v1/backends", headers=key).status_code for _ in range(30)]
        assert statuses[:20] == [200] * 20
        assert 429 in statuses


def first_image_of(client: TestClient) -> dict[str, str]:
    """As gateway_calls.first_image, with a key."""
    client.headers.update(key_for(client, Scope.READ))
    found = first_image(client)
    del client.headers["Authorization"]
    return found


def test_a_job_that_is_watched_costs_one_request(client: TestClient) -> None:
    key = key_for(client, Scope.WRITE)
    client.headers.update(key)
    started = client.post("/v1/galleries/colors/evaluations", json={"k": 3, "num_queries": 2})
    assert wait(client, started.json()["job"])["state"] == "succeeded"
    assert remaining(client.get("/v1/backends")) == 20 - 4  # started, its events, itself, and this
    assert workspace_of(client).api_keys.any()


def test_event_streams_have_a_limit_and_end_with_their_clients() -> None:
    async def events() -> AsyncIterator[str]:
        while True:
            yield "event"

    async def ask() -> None:
        streams = Streams(most=5, most_each=2)
        opened = [streams.counted(key, events()) for key in ("a", "a", "b", "b")]
        for stream in opened:
            streams.check("c")
            assert await anext(stream) == "event"
        for key in ("a", "b"):
            with pytest.raises(RateLimited):
                streams.check(key)
        fifth = streams.counted("c", events())
        await anext(fifth)
        with pytest.raises(RateLimited):
            streams.check("d")
        await opened[0].aclose()
        streams.check("a")
        streams.check("d")
        nobody, kept = Streams(most=3, most_each=1), []  # without keys: only all together
        for _ in range(3):
            nobody.check("")
            kept.append(nobody.counted("", events()))
            await anext(kept[-1])
        with pytest.raises(RateLimited):
            nobody.check("")

    asyncio.run(ask())


def test_streams_that_are_opened_at_the_same_moment_are_counted_before_any_is_read() -> None:
    async def events() -> AsyncIterator[str]:
        await asyncio.sleep(0)  # as one that first looks at its job
        yield "first"
        yield "second"

    async def ask() -> None:
        streams = Streams(most=100, most_each=3)
        opened = await asyncio.gather(*(streams.begun("a", events()) for _ in range(10)), return_exceptions=True)
        begun = [one for one in opened if not isinstance(one, BaseException)]
        assert [type(one) for one in opened if isinstance(one, BaseException)] == [RateLimited] * 7
        assert [[event async for event in stream] for stream in begun] == [["first", "second"]] * 3
        streams.check("a")

    asyncio.run(ask())
