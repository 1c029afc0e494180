"""What those who run the gateway rely on: readiness, metrics, headers, and what browsers may do."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from gateway_calls import SEARCH, first_image, png, problem
from gateway_store import BACKENDS, at, settings_of
from real_servers import wait_until

from lookalike.bootstrap import wire_jobs
from lookalike.errors import DependencyUnavailable
from lookalike.pipeline.workspace import Workspace
from lookalike.storage.port import ObjectInfo
from services.gateway.app import create_app


def value(text: str, sample: str) -> float:
    found = re.search(rf"^{re.escape(sample)} ([0-9.e+-]+)$", text, re.MULTILINE)
    return 0.0 if found is None else float(found[1])


def test_ready_says_what_is_there(client: TestClient) -> None:
    said = client.get("/readyz").json()
    assert (said["status"], said["store"], said["opening"], said["galleries"]) == ("ready", "ok", False, ["colors"])
    assert said["backends"] == {name: {"available": True, "reason": None} for name in BACKENDS}


def test_before_its_store_has_answered_the_gateway_lives_and_is_not_ready(
    client: TestClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(workspace.store, "list", _away)
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert (answer.json()["status"], answer.json()["store"]) == ("unavailable", "the store does not answer")
        assert client.get("/healthz").status_code == 200
        assert "lookalike_http_requests_total" in client.get("/metrics").text
        problem(client.get("/v1/galleries"), 503, "dependency_unavailable")
    wait_until(lambda: client.get("/readyz").json()["status"] == "ready", what="what was said before is forgotten")


def test_a_store_that_goes_away_later_leaves_it_degraded(
    client: TestClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/readyz").json()["status"] == "ready"
    monkeypatch.setattr(workspace.store, "list", _away)
    wait_until(lambda: client.get("/readyz").json()["status"] != "ready", what="it is noticed")
    answer = client.get("/readyz")
    said = answer.json()
    assert (answer.status_code, said["status"], said["store"]) == (200, "degraded", "the store does not answer")
    assert said["galleries"] == ["colors"]


def _away(prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
    raise DependencyUnavailable("the store does not answer")


def test_what_is_live_is_opened_at_start_and_what_cannot_be_is_named(tmp_path: Path, prepared: Path) -> None:
    shutil.copytree(prepared / "store", tmp_path / "store")
    [damaged] = (tmp_path / "store").glob("galleries/colors/indexes/annoy-*/*.ann")
    damaged.write_bytes(b"nothing")
    workspace = at(tmp_path)
    jobs = wire_jobs(settings_of(tmp_path), workspace)
    app = create_app(workspace, jobs, open_at_start=True)
    with TestClient(app) as client:
        assert client.get("/healthz").status_code == 200
        assert app.state.gateway.opener.wait(60)
        said = client.get("/readyz").json()
        assert (said["status"], said["opening"]) == ("degraded", False)
        assert list(said["problems"]) == ["colors/color_edges@1/annoy"]
        opened = {backend for _, backend in workspace.serving.gallery("colors").opened()}
        assert opened == {"exact", "faiss", "qdrant"}
        image_id = first_image(client)["image_id"]
        assert client.post(SEARCH, json={"image_id": image_id, "backend": "exact"}).status_code == 200
        answer = client.post(SEARCH, json={"image_id": image_id, "backend": "annoy"})
        problem(answer, 500, "damaged_artifact")
    workspace.close()


def test_metrics_count_what_happened(client: TestClient) -> None:
    image_id = first_image(client)["image_id"]
    for _ in range(3):
        client.post(SEARCH, json={"image_id": image_id, "backend": "exact"})
    client.post(SEARCH, files={"image": ("q.png", png())}, data={"request": '{"backend": "annoy"}'})
    batch = {"searches": [{"image_id": image_id, "backend": "qdrant"}] * 5}
    client.post(f"{SEARCH}/batch", json=batch)
    client.post(SEARCH, json={})
    client.get("/nothing/here")
    client.request("BREW", "/")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.text
    route = "/v1/galleries/{gallery}/search"
    assert value(text, f'lookalike_http_requests_total{{method="POST",route="{route}",status="200"}}') == 4
    assert value(text, f'lookalike_http_requests_total{{method="POST",route="{route}",status="422"}}') == 1
    assert value(text, 'lookalike_http_requests_total{method="GET",route="unmatched",status="404"}') == 1
    assert "BREW" not in text
    assert "nothing/here" not in text
    stage = 'lookalike_search_stage_seconds_count{{backend="{}",model="color_edges@1",stage="{}"}}'
    assert value(text, stage.format("exact", "total")) == 3
    assert value(text, stage.format("exact", "embed")) == 0
    assert value(text, stage.format("annoy", "embed")) == 1
    assert value(text, stage.format("qdrant", "search")) == 5
    assert value(text, "lookalike_joined_searches_count") >= 3
    assert value(text, "lookalike_galleries") == 1
    assert value(text, 'lookalike_gallery_images{gallery="colors"}') == 24
    assert value(text, 'lookalike_jobs{state="succeeded"}') == 0
    declared = re.findall(r"^# TYPE (lookalike_\S+)", text, re.MULTILINE)
    helped = re.findall(r"^# HELP (lookalike_\S+) \S.*\.$", text, re.MULTILINE)
    assert declared == helped


@pytest.mark.parametrize("path", ["/", "/docs", "/healthz", "/v1/galleries", "/nothing", "/web/app.js", "/metrics"])
def test_every_answer_is_guarded(client: TestClient, path: str) -> None:
    headers = client.get(path, headers={"Origin": "https://elsewhere.example"}).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert not [name for name in headers if name.startswith("access-control")]


def test_other_sites_may_change_nothing_through_a_browser(client: TestClient) -> None:
    said = {"name": "made"}
    for headers in (
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver:1234"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://testserver"},
    ):
        problem(client.post("/v1/galleries", json=said, headers=headers), 403, "cross_origin")
        problem(client.delete("/v1/galleries/colors", headers=headers), 403, "cross_origin")
        assert client.get("/v1/galleries", headers=headers).status_code == 200
    preflight = client.options(
        "/v1/galleries", headers={"Origin": "https://x.example", "Access-Control-Request-Method": "DELETE"}
    )
    assert "access-control-allow-origin" not in preflight.headers
    assert client.post("/v1/galleries", json=said, headers={"Origin": "http://testserver"}).status_code == 201
    assert client.delete("/v1/galleries/made", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 204


def test_the_page_is_cached_by_what_it_is(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["cache-control"] == "no-cache"
    assert client.get("/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    files = re.findall(r'"(web/[a-z.]+\?[0-9a-f]{16})"', page.text)
    assert len(files) == 2
    for file in files:
        assert "immutable" in client.get(f"/{file}").headers["cache-control"]
    assert not re.search(r"<style|style=|<script>|onclick|https?://(?!www\.w3\.org)", page.text)


def test_an_unexpected_error_is_a_problem_too(workspace: Workspace, tmp_path: Path) -> None:
    jobs = wire_jobs(settings_of(tmp_path), workspace)
    app = create_app(workspace, jobs)

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("secret")

    with TestClient(app, raise_server_exceptions=False) as client:
        found = problem(client.get("/broken"), 500, "internal")
        assert "secret" not in str(found)
        assert (
            value(
                client.get("/metrics").text, 'lookalike_http_requests_total{method="GET",route="/broken",status="500"}'
            )
            == 1
        )


def test_the_gateway_starts_and_serves_without_torch(tmp_path: Path, prepared: Path) -> None:
    shutil.copytree(prepared / "store", tmp_path / "store")
    program = f"""
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NoTorch())
from pathlib import Path
from fastapi.testclient import TestClient
from lookalike.bootstrap import wire, wire_jobs
from lookalike.settings import load
from services.gateway.app import create_app
import services.gateway.__main__

folder = Path({str(tmp_path)!r})
settings = load({{"LOOKALIKE_STORAGE__FOLDER": str(folder / "store"), "LOOKALIKE_STORAGE__CACHE": str(folder / "cache"),
                  "LOOKALIKE_EMBEDDER__URL": "http://127.0.0.1:9"}}, folder / "none.toml")
workspace = wire(settings)
app = create_app(workspace, wire_jobs(settings, workspace), open_at_start=True)
with TestClient(app) as client:
    assert app.state.gateway.opener.wait(60)
    assert client.get("/readyz").status_code == 200
    images = client.get("/v1/galleries/colors/images").json()["images"]
    for backend in {BACKENDS!r}:
        wanted = {{"image_id": images[0]["image_id"], "backend": backend}}
        assert client.post("/v1/galleries/colors/search", json=wanted).status_code == 200
workspace.close()
"""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
