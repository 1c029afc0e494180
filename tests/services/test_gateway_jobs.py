"""Jobs over HTTP: every kind does its step of the straight path, wrong ones are refused before they are queued."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from gateway_calls import SEARCH, first_image, png, problem, wait
from gateway_store import BACKENDS, settings_of

from lookalike.bootstrap import wire, wire_jobs
from services.gateway.app import create_app

IMAGES = "/v1/galleries/colors/images"


def start(client: TestClient, kind: str, gallery: str = "colors", **params: object) -> dict[str, Any]:
    answer = client.post("/v1/jobs", json={"kind": kind, "gallery": gallery, "params": params})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['job_id']}"
    return job


def done(client: TestClient, kind: str, gallery: str = "colors", **params: object) -> dict[str, Any]:
    ended = wait(client, start(client, kind, gallery, **params)["job_id"])
    assert ended["state"] == "succeeded", ended
    return ended


@pytest.fixture
def site(pictures: Path) -> Iterator[str]:
    """A web server of the pictures, on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = (pictures / self.path.lstrip("/").partition("?")[0]).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *about: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_steps_from_an_upload_to_a_rollback(client: TestClient) -> None:
    added = client.post(IMAGES, files={"image": ("new.png", png())}).json()
    assert wait(client, added["job"])["kind"] == "add"
    before = client.get("/v1/galleries/colors").json()
    assert before["pending_adds"] == {"color_edges@1": 1}
    embedded = done(client, "embed", model="color_edges")
    assert embedded["result"]["reused"] == 25
    built = done(client, "build", model="color_edges", backends=["exact", "faiss"])
    assert {index["num_embeddings"] for index in built["result"]["indexes"]} == {25}
    promoted = done(client, "promote", model="color_edges", backends=["exact"])
    assert set(promoted["result"]["models"]["color_edges@1"]) == {"exact"}
    state = client.get("/v1/galleries/colors").json()
    assert (set(state["live"]["color_edges@1"]), state["pending_adds"]) == ({"exact"}, {"color_edges@1": 0})
    done(client, "rollback")
    assert set(client.get("/v1/galleries/colors").json()["live"]["color_edges@1"]) == set(BACKENDS)
    done(client, "compact")
    assert client.get("/v1/galleries/colors").json()["pending_adds"] == {"color_edges@1": 0}
    evaluated = done(client, "evaluate", k=3, num_queries=5)["result"]["evaluation_id"]
    assert client.get(f"/v1/evaluations/{evaluated}").json()["num_queries"] == 5


def test_images_can_be_deleted_by_id_by_filter_and_all(client: TestClient) -> None:
    one = first_image(client)["image_id"]
    assert done(client, "delete", image_ids=[one, one])["result"] == {"deleted": 1}
    assert done(client, "delete", filter={"field": "label", "equals": "red"})["result"] == {"deleted": 8}
    assert len(client.get(IMAGES).json()["images"]) == 15
    hits = client.post(SEARCH, json={"image_id": first_image(client, "cold/blue/1.png")["image_id"], "k": 30})
    assert len(hits.json()["hits"]) == 15
    assert done(client, "delete", everything=True)["result"] == {"gallery": "colors"}
    problem(client.get("/v1/galleries/colors"), 404, "gallery_not_found")


def test_urls_become_images_and_those_inside_are_failures(client: TestClient) -> None:
    urls = ["http://127.0.0.1/a.png", {"url": "http://10.0.0.1/b.png", "key": "b"}]
    ended = done(client, "ingest", "fresh", urls=urls)
    assert (ended["result"]["num_images"], ended["result"]["failed"]) == (0, 2)
    first = client.get(f"/v1/jobs/{ended['job_id']}/failures", params={"limit": 1}).json()
    rest = client.get(f"/v1/jobs/{ended['job_id']}/failures", params={"cursor": first["cursor"]}).json()
    failures = first["failures"] + rest["failures"]
    assert {(failure["key"], failure["code"]) for failure in failures} == {
        ("127.0.0.1/a.png", "url_refused"),
        ("b", "url_refused"),
    }
    assert rest["cursor"] is None
    problem(client.get(f"/v1/jobs/{ended['job_id']}/failures?cursor=MTp4"), 422, "invalid_cursor")


def test_urls_of_a_site_are_ingested_and_one_more_list_beside_them(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lookalike import bootstrap
    from lookalike.images.remote import UrlFetcher

    port = int(site.rpartition(":")[2])
    monkeypatch.setattr("lookalike.images.remote.UrlFetcher", partial(UrlFetcher, ports=frozenset({port})))
    settings = settings_of(tmp_path, LOOKALIKE_URLS__ALLOWED_NETWORKS="127.0.0.0/8")
    workspace = bootstrap.wire(settings)
    with TestClient(create_app(workspace, wire_jobs(settings, workspace))) as client:
        labels = {"subcategory": "blue", "subcategories": ["blue"]}
        first = [{"url": f"{site}/cold/blue/0.png", "key": "zero", "labels": labels, "metadata": {"year": 2020}}]
        assert done(client, "ingest", "web", urls=first)["result"]["added"] == 1
        second = [f"{site}/cold/blue/1.png", f"{site}/warm/red/broken.jpg"]
        ended = done(client, "ingest", "web", urls=second)
        assert (ended["result"]["added"], ended["result"]["failed"]) == (1, 1)
        images = client.get("/v1/galleries/web/images").json()["images"]
        assert [image["key"] for image in images] == ["127.0.0.1/cold/blue/1.png", "zero"]
        assert images[1]["metadata"] == {"year": 2020}
        sources = client.get("/v1/galleries/web").json()["sources"]
        assert sorted(sources.values()) == ["1 URLs of a job", "2 URLs of a job"]
        assert str(tmp_path) not in json.dumps(ended)
        again = client.post(f"/v1/jobs/{ended['job_id']}/retry", json={})
        problem(again, 409, "wrong_job_state")
    workspace.close()


def test_no_file_of_the_server_is_read_unless_a_setting_allows_its_folder(client: TestClient, pictures: Path) -> None:
    for source in ("/etc/passwd", str(pictures), "relative", "~", "\0", "s3://bucket/prefix", "/" + "a" * 4000):
        asked = {"kind": "ingest", "gallery": "fresh", "params": {"source": source}}
        problem(client.post("/v1/jobs", json=asked), 422, "source_refused")
    assert client.get("/v1/jobs").json() == []


def test_an_allowed_folder_is_read_and_nothing_outside_of_it(tmp_path: Path, pictures: Path) -> None:
    inside = tmp_path / "allowed"
    inside.mkdir()
    (inside / "own").symlink_to(pictures / "cold")
    (inside / "table.csv").write_text("key,label\n")
    (inside / "there").mkdir()
    (inside / "there" / "a.png").write_bytes(png())
    (tmp_path / "allowed-not").mkdir()
    settings = settings_of(tmp_path, LOOKALIKE_JOBS__SOURCE_FOLDERS=str(inside))
    workspace = wire(settings)
    folders = settings.jobs.source_folders
    with TestClient(create_app(workspace, wire_jobs(settings, workspace), source_folders=folders)) as client:
        refused = [
            f"{inside}/..",
            f"{inside}/../allowed-not",
            str(tmp_path / "allowed-not"),
            str(inside / "own"),  # a link that leads out
            str(pictures),
        ]
        for source in refused:
            asked = {"kind": "ingest", "gallery": "fresh", "params": {"source": source}}
            problem(client.post("/v1/jobs", json=asked), 422, "source_refused")
        for params, code in (
            ({"source": f"{inside}/nothing"}, "invalid_source"),
            ({"source": f"{inside}/table.csv"}, "invalid_source"),
            ({"source": f"{inside}/table.csv", "images": str(pictures)}, "source_refused"),
        ):
            asked = {"kind": "ingest", "gallery": "fresh", "params": params}
            problem(client.post("/v1/jobs", json=asked), 422, code)
        assert done(client, "ingest", "fresh", source=str(inside / "there"))["result"]["num_images"] == 1
    workspace.close()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"kind": "nothing", "gallery": "colors"}, 422, "unknown_job_kind"),
        ({"kind": "embed"}, 422, "invalid_request"),
        ({"kind": "embed", "gallery": "colors", "extra": 1}, 422, "invalid_request"),
        ({"kind": "embed", "gallery": "colors", "params": {}}, 422, "invalid_request"),
        ({"kind": "embed", "gallery": "colors", "params": {"model": 1}}, 422, "invalid_request"),
        ({"kind": "embed", "gallery": "colors", "params": {"model": "none"}}, 404, "model_not_found"),
        ({"kind": "embed", "gallery": "nothing", "params": {"model": "color_edges"}}, 404, "gallery_not_found"),
        ({"kind": "add", "gallery": "../colors", "params": {}}, 422, "invalid_request"),
        ({"kind": "ingest", "gallery": "UP", "params": {"urls": ["http://example.org/"]}}, 422, "invalid_request"),
        ({"kind": "ingest", "gallery": "g", "params": {}}, 422, "invalid_request"),
        ({"kind": "ingest", "gallery": "g", "params": {"urls": [], "source": "x"}}, 422, "invalid_request"),
        ({"kind": "ingest", "gallery": "g", "params": {"urls": ["x"] * 10_001}}, 422, "invalid_request"),
        ({"kind": "ingest", "gallery": "g", "params": {"urls": ["x"], "images": "/x"}}, 422, "invalid_request"),
        ({"kind": "ingest", "gallery": "g", "params": {"urls": ["x"], "name": "../x"}}, 422, "invalid_request"),
        (
            {"kind": "build", "gallery": "colors", "params": {"model": "color_edges", "backends": ["none"]}},
            404,
            "backend_not_found",
        ),
        ({"kind": "evaluate", "gallery": "colors", "params": {"k": 0}}, 422, "invalid_request"),
        ({"kind": "evaluate", "gallery": "colors", "params": {"self_counts": True}}, 422, "invalid_request"),
        ({"kind": "evaluate", "gallery": "colors", "params": {"protocol": "other"}}, 422, "invalid_request"),
        ({"kind": "delete", "gallery": "colors", "params": {}}, 422, "invalid_request"),
        ({"kind": "delete", "gallery": "colors", "params": {"everything": False}}, 422, "invalid_request"),
        ({"kind": "rollback", "gallery": "colors", "params": {"force": True}}, 422, "invalid_request"),
    ],
)
def test_a_wrong_job_is_refused_before_it_is_queued(
    module_client: TestClient, body: dict[str, object], status: int, code: str
) -> None:
    problem(module_client.post("/v1/jobs", json=body), status, code)
    assert module_client.get("/v1/jobs").json() == []


def test_a_job_that_fails_says_why_and_can_be_retried(client: TestClient) -> None:
    params = {"kind": "evaluate", "gallery": "colors", "params": {"backends": ["exact"], "models": ["none"]}}
    job = client.post("/v1/jobs", json=params).json()["job_id"]
    ended = wait(client, job)
    assert (ended["state"], ended["error"]["code"]) == ("failed", "index_not_found")
    assert client.post(f"/v1/jobs/{job}/retry").json()["attempt"] == 2
    assert wait(client, job)["state"] == "failed"
    problem(client.post(f"/v1/jobs/{job}/retry", json={"retry_failed": True}), 422, "invalid_request")
    problem(client.post(f"/v1/jobs/{job}/cancel"), 409, "wrong_job_state")
    assert [one["job_id"] for one in client.get("/v1/jobs", params={"state": "failed"}).json()] == [job]
    assert client.get("/v1/jobs", params={"gallery": "other"}).json() == []


def test_a_cancelled_ingest_changes_nothing_and_its_retry_completes(tmp_path: Path, pictures: Path) -> None:
    settings = settings_of(tmp_path, LOOKALIKE_JOBS__SOURCE_FOLDERS=str(pictures))
    workspace = wire(settings)
    asked, go_on = threading.Event(), threading.Event()
    put = workspace.store.put

    def slow_put(key: str, data: bytes) -> str:
        if "/images/" in key:
            asked.set()
            assert go_on.wait(30)
        return put(key, data)

    workspace.store.put = slow_put  # type: ignore[method-assign] # the store itself, held up for a moment
    folders = settings.jobs.source_folders
    with TestClient(create_app(workspace, wire_jobs(settings, workspace), source_folders=folders)) as client:
        job = start(client, "ingest", "fresh", source=str(pictures))["job_id"]
        assert asked.wait(30)
        cancelled = client.post(f"/v1/jobs/{job}/cancel").json()
        assert (cancelled["state"], cancelled["cancel_requested"]) == ("running", True)
        go_on.set()
        assert wait(client, job)["state"] == "cancelled"
        assert (
            client.post(f"/v1/jobs/{job}/retry", json={"retry_failed": True}).json()["params"]["retry_failed"] is True
        )
        assert wait(client, job)["result"]["num_images"] == 24
    workspace.close()


def test_events_tell_each_change_and_end_with_the_job(client: TestClient) -> None:
    job = start(client, "evaluate", k=3)["job_id"]
    with client.stream("GET", f"/v1/jobs/{job}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        told = [json.loads(line.removeprefix("data: ")) for line in events.iter_lines() if line.startswith("data: ")]
    assert told[-1]["state"] == "succeeded"
    whole = client.get(f"/v1/jobs/{job}").json()
    assert whole.pop("params") == {"k": 3}
    assert told[-1] == whole == client.get("/v1/jobs").json()[0]
    assert all(one != another for one, another in pairwise(told))
