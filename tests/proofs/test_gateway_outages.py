"""Proof 2: a gateway whose S3 server takes requests and never answers. What is open is searched all the same."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from cluster import draw
from fastapi.testclient import TestClient
from faulty_proxy import FaultyProxy
from minio import Minio
from real_servers import ACCESS_KEY, SECRET_KEY, SwiftServer, wait_until

from lookalike.bootstrap import wire, wire_jobs
from lookalike.galleries.folder import FolderSource
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.ingest import ingest
from lookalike.pipeline.models import import_model
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import Settings, load
from services.gateway.app import create_app

BUCKET, GALLERY, MODEL = "lookalike-gateway-outages", "g", "pixels16"
BACKENDS = ["exact", "faiss"]
# Of one request to the store with its tries: what waited for one would take so long.
S3_TIMEOUT_S = 4.0


@pytest.fixture(scope="module")
def proxy(swift_server: SwiftServer) -> Iterator[FaultyProxy]:
    made = FaultyProxy(swift_server.port)
    made.start()
    Minio(swift_server.url.partition("//")[2], ACCESS_KEY, SECRET_KEY, secure=False).make_bucket(BUCKET)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, proxy: FaultyProxy) -> Settings:
    folder = tmp_path_factory.mktemp("gateway-outages")
    return load(
        {
            "LOOKALIKE_STORAGE__URL": f"s3://{BUCKET}",
            "LOOKALIKE_STORAGE__CACHE": str(folder / "cache"),
            "LOOKALIKE_STORAGE__S3_ENDPOINT": f"http://127.0.0.1:{proxy.port}",
            "LOOKALIKE_STORAGE__S3_REGION": "us-east-1",
            "LOOKALIKE_STORAGE__S3_ACCESS_KEY": ACCESS_KEY,
            "LOOKALIKE_STORAGE__S3_SECRET_KEY": SECRET_KEY,
            "LOOKALIKE_STORAGE__S3_TIMEOUT_S": str(S3_TIMEOUT_S),
            # Each search looks whether something else went live.
            "LOOKALIKE_SEARCH__POLL_S": "0",
        },
        folder / "none.toml",
    )


@pytest.fixture(scope="module")
def workspace(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = wire(settings)
    source = FolderSource(draw(tmp_path_factory.mktemp("pictures"), 8))
    ingest(made.store, made.galleries, made.ledger, GALLERY, source, limits=made.limits)
    import_model(made, f"baseline:{MODEL}")
    embed_gallery(made, GALLERY, MODEL)
    embedding_set = newest_set(made, GALLERY, MODEL)
    promote_indexes(made, GALLERY, embedding_set, build_indexes(made, GALLERY, embedding_set, BACKENDS))
    yield made
    made.close()


@pytest.fixture
def client(settings: Settings, workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(create_app(workspace, wire_jobs(settings, workspace))) as made:
        yield made


def _search(client: TestClient, backend: str, **query: object) -> tuple[int, dict[str, Any]]:
    answer = client.post(f"/v1/galleries/{GALLERY}/search", json={"backend": backend, "k": 8, **query})
    return answer.status_code, answer.json()


def test_searches_do_not_wait_for_a_store_that_hangs(
    client: TestClient, workspace: Workspace, proxy: FaultyProxy
) -> None:
    record = next(iter(workspace.galleries.records(workspace.galleries.version(GALLERY))))
    asked = {"image_id": record.image_id, "with_embedding": True}
    status, opened = _search(client, "faiss", **asked)
    assert status == 200
    embedding = {"embedding": opened["hits"][0]["embedding"]}

    proxy.black_hole()
    try:
        for query in (asked, embedding, asked):
            began = time.monotonic()
            status, answer = _search(client, "faiss", **query)
            took_s = time.monotonic() - began
            assert status == 200, answer
            assert [hit["image_id"] for hit in answer["hits"]] == [hit["image_id"] for hit in opened["hits"]]
            assert took_s < 0.75 * S3_TIMEOUT_S
        # What was never opened, and what is only in the store, cannot be had; each says so.
        for status, problem in (
            _search(client, "exact", **asked),
            _got(client, f"/v1/galleries/{GALLERY}/images/{record.image_id}/content"),
        ):
            assert (status, problem["code"], problem["dependency"]) == (503, "dependency_unavailable", "store")
            assert "does not answer" in problem["detail"]
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert "does not answer" in ready.json()["store"]
    finally:
        proxy.pass_all()
    wait_until(lambda: client.get("/readyz").json()["status"] == "ready", what="ready again")
    for backend in BACKENDS:
        assert _search(client, backend, **asked)[0] == 200


def _got(client: TestClient, path: str) -> tuple[int, dict[str, Any]]:
    answer = client.get(path)
    return answer.status_code, answer.json()
