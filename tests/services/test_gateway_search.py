"""What the gateway answers and refuses."""

import io
import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from gateway_calls import SEARCH, first_image, problem, wait
from gateway_store import BACKENDS
from PIL import Image

ONES, ZEROS = "ones", "zeros"  # of the model's dimension


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_upload_finds_its_like(client: TestClient, pictures: Path, backend: str) -> None:
    data = (pictures / "cold" / "blue" / "3.png").read_bytes()
    request = json.dumps({"backend": backend, "k": 8})
    answer = client.post(SEARCH, files={"image": ("q.png", data)}, data={"request": request})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["backend"] == backend
    assert body["model"] == "color_edges@1"
    assert [hit["rank"] for hit in body["hits"]] == list(range(1, 9))
    assert body["hits"][0]["key"] == "cold/blue/3.png"
    assert body["hits"][0]["similarity"] == pytest.approx(1, abs=1e-4)
    assert {hit["labels"]["subcategory"] for hit in body["hits"]} == {"blue"}
    assert {hit["labels"]["supercategory"] for hit in body["hits"]} == {"cold"}
    assert {"prepare", "embed", "search", "total"} <= body["took_ms"].keys()
    assert client.get(body["hits"][0]["content"]).content == data
    with Image.open(io.BytesIO(client.get(body["hits"][0]["thumbnail"]).content)) as thumbnail:
        assert thumbnail.format == "JPEG"


def test_all_backends_give_the_same_hits(client: TestClient) -> None:
    image_id = first_image(client)["image_id"]
    answers = []
    for backend in BACKENDS:
        wanted = {"image_id": image_id, "backend": backend, "k": 24, "exclude_self": True}
        body = client.post(SEARCH, json=wanted).json()
        answers.append([(hit["image_id"], hit["similarity"]) for hit in body["hits"]])
        assert image_id not in [hit["image_id"] for hit in body["hits"]]
        assert len(body["hits"]) == 23
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("backend", BACKENDS)
def test_filters_offsets_and_minima(client: TestClient, backend: str) -> None:
    base = {"image_id": first_image(client)["image_id"], "backend": backend}
    warm = client.post(SEARCH, json={**base, "filter": {"field": "supercategory", "equals": "warm"}}).json()["hits"]
    assert {hit["labels"]["subcategory"] for hit in warm} == {"red"}
    assert len(warm) == 8
    whole = client.post(SEARCH, json={**base, "k": 10}).json()["hits"]
    rest = client.post(SEARCH, json={**base, "k": 6, "offset": 4}).json()["hits"]
    assert [(hit["rank"], hit["key"]) for hit in rest] == [(hit["rank"], hit["key"]) for hit in whole[4:]]
    floor = whole[3]["similarity"]
    alike = client.post(SEARCH, json={**base, "k": 24, "min_similarity": floor}).json()["hits"]
    assert [hit["key"] for hit in alike] == [hit["key"] for hit in whole[:4]]


def test_an_embedding_searches_as_its_image_does(client: TestClient) -> None:
    image_id = first_image(client)["image_id"]
    body = client.post(SEARCH, json={"image_id": image_id, "k": 5, "with_embedding": True}).json()
    again = client.post(SEARCH, json={"embedding": body["hits"][0]["embedding"], "k": 5}).json()
    assert [hit["key"] for hit in again["hits"]] == [hit["key"] for hit in body["hits"]]


def test_batch_and_compare(client: TestClient) -> None:
    image_id = first_image(client)["image_id"]
    searches = [{"image_id": image_id, "k": 3}, {"image_id": "nonsense"}, {"embedding": [1.0]}]
    outcomes = client.post(f"{SEARCH}/batch", json={"searches": searches}).json()
    assert len(outcomes[0]["response"]["hits"]) == 3
    assert [outcome["error"]["code"] for outcome in outcomes[1:]] == ["invalid_request", "invalid_embedding"]
    compared = client.post("/v1/galleries/colors/compare", json={"image_id": image_id, "k": 5}).json()
    assert [answer["backend"] for answer in compared["answers"]] == sorted(BACKENDS) or len(compared["answers"]) == 4
    assert all(share == 1 for row in compared["overlap_at_k"] for share in row)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"image_id": "x", "embedding": [1.0]}, 422, "invalid_request"),
        ({"image_id": "00000000-0000-0000-0000-000000000000"}, 404, "image_not_found"),
        ({"embedding": [1.0, 2.0]}, 422, "invalid_embedding"),
        ({"embedding": ZEROS}, 422, "invalid_embedding"),
        ({"embedding": ONES, "model": "none"}, 404, "index_not_found"),
        ({"embedding": ONES, "backend": "none"}, 404, "index_not_found"),
        ({"embedding": ONES, "params": {"nope": 1}}, 422, "unknown_parameter"),
        ({"embedding": ONES, "backend": "annoy", "params": {"search_k": "x"}}, 422, "parameter_out_of_range"),
        ({"embedding": ONES, "k": 0}, 422, "invalid_request"),
        ({"embedding": ONES, "filter": {"field": "nope", "equals": 1}}, 422, "invalid_filter"),
        ({"image_url": "file:///etc/passwd"}, 422, "url_refused"),
        ({"image_url": "http://127.0.0.1/x.png"}, 422, "url_refused"),
        ({"image_url": "http://169.254.169.254/latest"}, 422, "url_refused"),
        ({"image_url": "http://[::ffff:10.0.0.1]/x.png"}, 422, "url_refused"),
    ],
)
def test_what_is_wrong_is_said(client: TestClient, body: dict[str, object], status: int, code: str) -> None:
    dimension = client.get("/v1/models/color_edges").json()["dimension"]
    if body.get("embedding") in (ONES, ZEROS):
        body = {**body, "embedding": [1.0 if body["embedding"] == ONES else 0.0] * dimension}
    problem(client.post(SEARCH, json=body), status, code)


def test_malformed_bodies_are_refused(client: TestClient) -> None:
    problem(client.post(SEARCH, content=b"{", headers={"content-type": "application/json"}), 422, "invalid_request")
    problem(client.post(SEARCH, content=b"x", headers={"content-type": "text/plain"}), 422, "invalid_request")
    dimension = client.get("/v1/models/color_edges").json()["dimension"]
    nan = b'{"embedding": [NaN' + b", 1.0" * (dimension - 1) + b"]}"
    problem(client.post(SEARCH, content=nan, headers={"content-type": "application/json"}), 422, "invalid_embedding")
    problem(client.post("/v1/galleries/nothing/search", json={"embedding": [1.0]}), 404, "gallery_not_found")
    huge = client.post(SEARCH, content=b"x" * 5_000_001, headers={"content-type": "application/json"})
    problem(huge, 413, "request_too_large")
    for data, status, code in ((b"", 422, "invalid_image"), (b"GIF? no", 415, "unsupported_image")):
        problem(client.post(SEARCH, files={"image": ("x", data)}), status, code)


def test_an_added_image_is_found_and_a_deleted_one_never_again(client: TestClient, pictures: Path) -> None:
    data = (pictures / "warm" / "red" / "1.png").read_bytes()
    details = json.dumps([{"key": "new/red.png", "metadata": {"year": 2020}}, {"key": "new/bad.png"}])
    answer = client.post(
        "/v1/galleries/colors/images",
        files=[("image", ("a.png", data)), ("image", ("b.png", b"no"))],
        data={"details": details},
    )
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert body["images"][1]["error"]["code"] == "unsupported_image"
    assert wait(client, body["job"])["state"] == "succeeded"
    new_id = body["images"][0]["image_id"]
    for backend in BACKENDS:
        wanted = {"backend": backend, "image_id": new_id, "k": 2}
        hits = client.post(SEARCH, json=wanted).json()["hits"]
        assert {hit["key"] for hit in hits} == {"new/red.png", "warm/red/1.png"}
        recent = {**wanted, "filter": {"field": "metadata.year", "range": {"gte": 2019}}}
        assert [hit["key"] for hit in client.post(SEARCH, json=recent).json()["hits"]] == ["new/red.png"]
    gone = first_image(client, "warm/red/1.png")["image_id"]
    assert client.delete(f"/v1/galleries/colors/images/{gone}").status_code == 204
    for backend in BACKENDS:
        hits = client.post(SEARCH, json={"backend": backend, "image_id": new_id, "k": 30}).json()["hits"]
        assert len(hits) == 24
        assert gone not in [hit["image_id"] for hit in hits]
    problem(client.get(f"/v1/galleries/colors/images/{gone}"), 404, "image_not_found")


def test_evaluations_run_as_jobs_and_are_kept(client: TestClient) -> None:
    job = client.post("/v1/galleries/colors/evaluations", json={"k": 5}).json()["job"]
    ended = wait(client, job)
    assert ended["state"] == "succeeded", ended
    document = client.get(f"/v1/evaluations/{ended['result']['evaluation_id']}").json()
    sub = [r for r in document["results"] if r["level"] == "subcategory" and r["relevance"] == "single-label"]
    assert {result["backend"] for result in sub} == set(BACKENDS)
    assert all(result["metrics"]["precision@5"]["mean"] == 1 for result in sub)
    assert all(result["knn_recall"] == 1 for result in sub if result["backend"] == "exact")
    page = client.get(f"/v1/evaluations/{document['evaluation_id']}/report.html")
    assert "precision@5" in page.text
    paper = client.post("/v1/galleries/colors/evaluations", json={"protocol": "paper"}).json()["job"]
    made = wait(client, paper)["result"]["evaluation_id"]
    results = client.get(f"/v1/evaluations/{made}").json()["results"]
    # Seven of a kind are left for each query, all before the others: 4 of the first 4, 7 of the ten.
    assert results[0]["metrics"]["paper precision@4"]["mean"] == pytest.approx(0.4)
    assert results[0]["metrics"]["paper recall@4"]["mean"] == pytest.approx(4 / 7)


def test_what_can_be_chosen_is_listed(client: TestClient) -> None:
    assert [backend["name"] for backend in client.get("/v1/backends").json()] == list(BACKENDS)
    assert client.get("/v1/models/color_edges").json()["resize_policy"] in ("letterbox", "squash", "center_crop")
    state = client.get("/v1/galleries/colors").json()
    assert state["num_images"] == 24
    assert state["num_failures"] == 1
    assert set(state["live"]["color_edges@1"]) == set(BACKENDS)
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/"):
        assert client.get(path).status_code == 200
    problem(client.get("/v1/models/none"), 404, "model_not_found")
    problem(client.get("/v1/jobs/00000000"), 404, "job_not_found")
    problem(client.get("/nothing"), 404, "not_found")


def test_galleries_come_and_go(client: TestClient) -> None:
    assert client.post("/v1/galleries", json={"name": "other"}).status_code == 201
    problem(client.post("/v1/galleries", json={"name": "other"}), 409, "already_exists")
    problem(client.post("/v1/galleries", json={"name": "../up"}), 422, "invalid_request")
    problem(client.post("/v1/galleries/other/search", json={"embedding": [1.0]}), 404, "index_not_found")
    assert client.delete("/v1/galleries/other").status_code == 204
    problem(client.get("/v1/galleries/other"), 404, "gallery_not_found")
