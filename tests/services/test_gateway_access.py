"""API keys over HTTP: who may do what, what is said to those who may not, and the session of the page."""

import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from gateway_access import BOOTSTRAP, EVERYWHERE, gateway, key_for, workspace_of
from gateway_calls import SEARCH, first_image, problem
from gateway_store import settings_of
from real_servers import wait_until

from lookalike.bootstrap_access import keys_are_on
from lookalike.errors import DependencyUnavailable, InvalidRequest
from lookalike.pipeline.job_kinds import JobKind
from lookalike.pipeline.known_keys import FRESH_S
from lookalike.types.api_keys import Scope, new_key, session_token
from services.gateway.access_rules import RULES, job_scope, rule_of
from services.gateway.guarded_route import GuardedRoute
from services.gateway.routes import evaluations, galleries, health, images, jobs, keys, models, search, session
from services.gateway.web_page import router as page

NAMES = {"gallery": "colors", "model": "color_edges", "name": "app.js", "job_id": "0" * 32}
NAMES |= {"image_id": "0" * 32, "evaluation_id": "0" * 32, "key_id": "0" * 12}
MODULES = (evaluations, galleries, health, images, jobs, keys, models, search, session)
ROUTES = [route for router in (page, *(module.router for module in MODULES)) for route in router.routes]
NEEDING = [(*row, rule.scope) for row, rule in RULES.items() if rule.scope is not None and not rule.is_metrics]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("guarded")
    shutil.copytree(prepared / "store", folder / "store")
    with gateway(folder, LOOKALIKE_ACCESS__BOOTSTRAP_KEY=BOOTSTRAP, LOOKALIKE_ACCESS__BURST_S="600") as made:
        yield made


@pytest.fixture(scope="module")
def read(client: TestClient) -> dict[str, str]:
    return key_for(client, Scope.READ)


@pytest.fixture(scope="module")
def write(client: TestClient) -> dict[str, str]:
    return key_for(client, Scope.WRITE)


@pytest.fixture(scope="module")
def admin(client: TestClient) -> dict[str, str]:
    return key_for(client, Scope.ADMIN)


def test_every_route_has_a_row_and_every_row_a_route(client: TestClient) -> None:
    assert all(isinstance(route, GuardedRoute) for route in ROUTES)
    declared = {(method, route.path) for route in ROUTES for method in route.methods if method != "HEAD"}  # type: ignore[attr-defined]
    assert declared | {("GET", "/docs"), ("GET", "/openapi.json")} == set(RULES)
    paths = client.get("/openapi.json").json()["paths"]
    published = {(method.upper(), path) for path, item in paths.items() for method in item}
    assert published <= set(RULES)
    for method, path in published:
        assert paths[path][method.lower()].get("x-scope") == RULES[method, path].scope


def test_an_endpoint_without_a_row_cannot_be_made() -> None:
    with pytest.raises(LookupError, match="/v1/keys/forgotten"):
        keys.router.add_api_route("/forgotten", lambda: None, methods=["GET"])
    with pytest.raises(LookupError):
        rule_of({"PATCH"}, "/v1/galleries/{gallery}")


@pytest.mark.parametrize(("method", "path", "scope"), NEEDING, ids=[f"{method} {path}" for method, path, _ in NEEDING])
def test_each_endpoint_needs_what_its_row_says(
    client: TestClient, read: dict[str, str], write: dict[str, str], method: str, path: str, scope: Scope
) -> None:
    address = path.format(**NAMES)
    missing = client.request(method, address)
    problem(missing, 401, "key_missing")
    assert missing.headers["www-authenticate"] == 'Bearer realm="lookalike"'
    for has, key in ((Scope.READ, read), (Scope.WRITE, write)):
        if not has.includes(scope):
            said = problem(client.request(method, address, headers=key), 403, "scope_missing")
            assert said["scope"] == scope
    if scope is Scope.READ:
        assert client.request(method, address, headers=read).status_code not in (401, 403)


@pytest.mark.parametrize("path", [path for (_, path), rule in RULES.items() if rule.scope is None])
def test_what_says_nothing_of_the_store_needs_no_key(client: TestClient, path: str) -> None:
    assert client.get(path.format(**NAMES)).status_code < 300
    assert "ratelimit" not in client.get(path.format(**NAMES)).headers


def test_a_body_is_not_read_before_the_key_is_looked_at(client: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"image_id": "'
        raise AssertionError("it was read on")

    problem(client.post(SEARCH, content=endless(), headers={"Content-Type": "application/json"}), 401, "key_missing")


def test_no_proxy_keeps_an_answer_for_somebody_else(client: TestClient, read: dict[str, str]) -> None:
    for path in ("/v1/galleries", "/v1/galleries/colors/images", "/v1/galleries/nothing"):
        assert client.get(path, headers=read).headers["cache-control"] == "private, no-cache"
        assert client.get(path).headers["cache-control"] == "private, no-cache"
    image = client.get("/v1/galleries/colors/images?limit=1", headers=read).json()["images"][0]
    content = client.get(f"/v1/galleries/colors/images/{image['image_id']}/content", headers=read)
    assert content.headers.get_list("cache-control") == ["private, no-cache"]


def test_keys_of_each_form(client: TestClient, read: dict[str, str]) -> None:
    text = read["Authorization"].removeprefix("Bearer ")
    for headers in ({"Authorization": f"bearer  {text}"}, {"X-API-Key": text}, {"x-api-key": BOOTSTRAP}):
        assert client.get("/v1/galleries", headers=headers).status_code == 200
    for headers in ({"Authorization": f"Basic {text}"}, {"Authorization": "Bearer "}, {"Cookie": f"other={text}"}):
        problem(client.get("/v1/galleries", headers=headers), 401, "key_missing")
    for wrong in (new_key()[1], text[:-1] + "x", text.upper(), "nonsense", BOOTSTRAP[:-1]):
        answer = client.get("/v1/galleries", headers={"Authorization": f"Bearer {wrong}"})
        problem(answer, 401, "key_refused")
        assert answer.headers["www-authenticate"] == 'Bearer realm="lookalike", error="invalid_token"'
        assert wrong not in answer.text
    problem(client.get(f"/v1/galleries?key={text}&api_key={text}"), 401, "key_missing")  # addresses are in logs


def test_what_a_job_does_needs_what_its_endpoint_needs(
    client: TestClient, write: dict[str, str], admin: dict[str, str]
) -> None:
    assert {kind for kind in JobKind if job_scope(kind, {}) is Scope.ADMIN} == {JobKind.COLLECT}
    everything = {"kind": "delete", "gallery": "doomed", "params": {"everything": True}}
    client.post("/v1/galleries", json={"name": "doomed"}, headers=write)
    problem(client.delete("/v1/galleries/doomed", headers=write), 403, "scope_missing")
    problem(client.post("/v1/jobs", json=everything, headers=write), 403, "scope_missing")
    collect = {"kind": "collect", "gallery": "doomed", "params": {}}
    problem(client.post("/v1/jobs", json=collect, headers=write), 403, "scope_missing")
    started = client.post("/v1/jobs", json=everything, headers=admin)
    assert started.status_code == 202
    problem(client.post(f"/v1/jobs/{started.json()['job_id']}/retry", headers=write), 403, "scope_missing")
    some = {"kind": "delete", "gallery": "colors", "params": {"image_ids": []}}
    assert client.post("/v1/jobs", json=some, headers=write).status_code != 403


def test_keys_are_made_listed_and_revoked_over_http(client: TestClient, admin: dict[str, str]) -> None:
    new = {"name": "a robot", "scope": "write", "expires_in_s": 3600, "requests_per_minute": 50}
    answer = client.post("/v1/keys", json=new, headers=admin)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    key = {"X-API-Key": made["key"]}
    assert client.post("/v1/galleries", json={"name": "of-the-robot"}, headers=key).status_code == 201
    listed = client.get("/v1/keys", headers=admin)
    assert made["info"] in listed.json()
    assert made["key"] not in listed.text
    assert "sha256" not in listed.text
    key_id = made["info"]["key_id"]
    assert client.delete(f"/v1/keys/{key_id}", headers=admin).status_code == 204
    said = problem(client.get("/v1/galleries", headers=key), 401, "key_refused")  # here at once
    assert "revoked" in said["detail"]
    states = {info["key_id"]: info["state"] for info in client.get("/v1/keys", headers=admin).json()}
    assert states[key_id] == "revoked"
    problem(client.delete("/v1/keys/0123456789ab", headers=admin), 404, "key_not_found")
    for wrong in ({"name": ""}, {"name": "x", "scope": "root"}, {"name": "x", "expires_in_s": -1}):
        problem(client.post("/v1/keys", json=wrong, headers=admin), 422, "invalid_request")


def test_the_page_gets_a_cookie_that_reads_and_nothing_else(client: TestClient, admin: dict[str, str]) -> None:
    text = admin["Authorization"].removeprefix("Bearer ")
    problem(client.post("/v1/session", json={"key": new_key()[1]}), 401, "key_refused")
    assert client.get("/v1/session").json() == {"keys": True, "key_id": None, "name": None, "scope": None}
    answer = client.post("/v1/session", json={"key": f" {text}\n"})
    assert answer.json()["scope"] == "read"
    [cookie] = answer.headers.get_list("set-cookie")
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert "secure" not in cookie.lower()
    token = answer.cookies["lookalike_session"]
    assert token == session_token(text)
    assert text not in cookie

    client.cookies.clear()
    said = {"Cookie": f"lookalike_session={token}"}
    assert client.get("/v1/session", headers=said).json()["name"] == "a admin"
    image = client.get("/v1/galleries/colors/images?limit=1", headers=said).json()["images"][0]
    assert client.post(SEARCH, json={"image_id": image["image_id"]}, headers=said).status_code == 200
    content = f"/v1/galleries/colors/images/{image['image_id']}/content"
    assert client.get(content, headers=said).status_code == 200
    for method, path in (("DELETE", "/v1/galleries/colors"), ("GET", "/v1/keys"), ("POST", "/v1/galleries")):
        problem(client.request(method, path, headers=said), 403, "scope_missing")
    # Where another site made the request the cookie does not count, though browsers should not have sent it.
    for site in ("cross-site", "same-site"):
        problem(client.get(content, headers={**said, "Sec-Fetch-Site": site}), 401, "key_missing")
    problem(
        client.post("/v1/session", json={"key": text}, headers={"Sec-Fetch-Site": "cross-site"}), 403, "cross_origin"
    )
    problem(client.post("/v1/session", json={"key": token}), 401, "key_refused")
    # A key itself is no cookie: it would be for more than reading.
    problem(client.get("/v1/galleries", headers={"Cookie": f"lookalike_session={text}"}), 401, "key_missing")
    gone = client.delete("/v1/session", headers=said)
    assert gone.status_code == 204
    assert 'lookalike_session=""' in gone.headers["set-cookie"]


def test_behind_tls_the_cookie_goes_over_https_only(tmp_path: Path) -> None:
    more = {"LOOKALIKE_ACCESS__BOOTSTRAP_KEY": BOOTSTRAP, "LOOKALIKE_GATEWAY__TLS": "true"}
    with gateway(tmp_path, **more) as client:
        answer = client.post("/v1/session", json={"key": BOOTSTRAP})
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-lookalike_session=ls_")
        assert {"secure", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
        assert "domain" not in cookie.lower()


def test_metrics_are_open_or_for_readers(tmp_path: Path, client: TestClient) -> None:
    assert "lookalike_refused_requests_total" in client.get("/metrics").text
    more = {"LOOKALIKE_ACCESS__BOOTSTRAP_KEY": BOOTSTRAP, "LOOKALIKE_ACCESS__OPEN_METRICS": "false"}
    with gateway(tmp_path, **more) as closed:
        problem(closed.get("/metrics"), 401, "key_missing")
        assert closed.get("/metrics", headers=key_for(closed, Scope.READ)).status_code == 200
        found = re.search(
            r'refused_requests_total\{code="key_missing"\} ([0-9.]+)',
            closed.get("/metrics", headers={"X-API-Key": BOOTSTRAP}).text,
        )
        assert found is not None
        assert float(found[1]) == 1


def test_readiness_is_for_everybody_and_names_no_gallery(tmp_path: Path, prepared: Path) -> None:
    shutil.copytree(prepared / "store", tmp_path / "store")
    with gateway(tmp_path) as client:
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["status"], answer.json()["galleries"]) == (200, "ready", [])
        assert "colors" not in answer.text
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(workspace_of(client).store, "list", _bucket_away)
            wait_until(lambda: client.get("/readyz").json()["status"] == "degraded", what="it is noticed")
            assert "secret-bucket" not in client.get("/readyz").text
        assert "colors" in client.get("/v1/galleries", headers=key_for(client, Scope.READ)).text


def _bucket_away(*_: object, **__: object) -> None:
    raise DependencyUnavailable("s3://secret-bucket does not answer", dependency="store")


def test_while_the_store_is_away_known_keys_search_on(tmp_path: Path, prepared: Path) -> None:
    shutil.copytree(prepared / "store", tmp_path / "store")
    with gateway(tmp_path) as client, pytest.MonkeyPatch.context() as patch:
        known, unknown = key_for(client, Scope.READ), key_for(client, Scope.READ)
        client.headers.update(known)
        image_id = first_image(client)["image_id"]
        assert client.post(SEARCH, json={"image_id": image_id}).status_code == 200

        def away(*_: object, **__: object) -> None:
            raise DependencyUnavailable("the store does not answer", dependency="store")

        for call in ("get", "get_with_etag", "head", "list", "put", "put_if", "fetch_file"):
            patch.setattr(workspace_of(client).store, call, away)
        keys = client.app.state.gateway.access.keys  # type: ignore[attr-defined]
        patch.setattr(keys, "_clock", lambda was=keys._clock: was() + 2 * FRESH_S)
        assert client.post(SEARCH, json={"image_id": image_id}).status_code == 200
        problem(client.post(SEARCH, json={"image_id": image_id}, headers=unknown), 503, "dependency_unavailable")
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("said", "listens_on", "on"),
    [
        ("auto", "127.0.0.1", False),
        ("auto", "127.8.9.1", False),
        ("auto", "::1", False),
        ("auto", EVERYWHERE, True),
        ("auto", "::", True),
        ("auto", "10.1.2.3", True),
        ("on", "127.0.0.1", True),
        ("off", EVERYWHERE, False),
    ],
)
def test_keys_are_on_wherever_others_reach_it(tmp_path: Path, said: str, listens_on: str, on: bool) -> None:
    assert keys_are_on(settings_of(tmp_path, LOOKALIKE_ACCESS__KEYS=said), listens_on) is on


def test_on_this_machine_alone_nothing_is_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), gateway(tmp_path, "127.0.0.1") as client:
        assert client.get("/v1/galleries", headers={"Host": "127.0.0.1:8000"}).status_code == 200
        said = client.get("/v1/session", headers={"Host": "localhost"}).json()
        assert (said["keys"], said["key_id"]) == (False, None)
        assert client.post("/v1/session", json={"key": "x"}, headers={"Host": "localhost"}).json()["keys"] is False
    assert "API keys are off (access.keys=auto, listening on 127.0.0.1)" in caplog.text


def test_the_log_says_what_is_on_and_how_to_make_the_first_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), gateway(tmp_path) as client:
        assert "API keys are on (access.keys=auto" in caplog.text
        wait_until(lambda: "lookalike keys create NAME --scope admin" in caplog.text, what="how to make a key")
        problem(client.get("/v1/galleries"), 401, "key_missing")
        key = key_for(client, Scope.READ)
        assert client.get("/v1/galleries", headers=key).status_code == 200
        line = next(record for record in caplog.records if "GET /v1/galleries 200" in record.getMessage())
        assert line is not None
    assert key["Authorization"] not in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO), gateway(tmp_path, LOOKALIKE_ACCESS__KEYS="off"):
        assert "whoever reaches 0.0.0.0 may change and delete everything" in caplog.text


def test_the_log_says_where_a_wrong_key_came_from(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), gateway(tmp_path, peer="198.51.100.9") as client:
        wrong = new_key()[1]
        problem(client.get("/v1/galleries", headers={"X-API-Key": wrong}), 401, "key_refused")
        assert "a key was refused, from 198.51.100.9" in caplog.text
        assert wrong not in caplog.text


def test_settings_that_would_be_no_protection_are_refused(tmp_path: Path) -> None:
    for short in ("short", "x" * 31, "é" * 40):
        with pytest.raises(InvalidRequest, match="bootstrap_key") as refused:
            settings_of(tmp_path, LOOKALIKE_ACCESS__BOOTSTRAP_KEY=short)
        assert short not in refused.value.message
    for wrong in ("*", "https://app.example/path", "app.example", "null"):
        with pytest.raises(InvalidRequest, match="cors_origins"):
            settings_of(tmp_path, LOOKALIKE_ACCESS__CORS_ORIGINS=wrong)
