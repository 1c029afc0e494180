"""A gateway whose Qdrant server (a test double) is killed and comes back: the other backends answer all the time."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from doubles.qdrant_rest import QdrantDouble
from fastapi.testclient import TestClient
from gateway_calls import SEARCH, first_image, problem
from gateway_store import settings_of
from real_servers import wait_until

from lookalike.bootstrap import wire, wire_jobs
from lookalike.pipeline.index_gallery import build_indexes, newest_set, promote_indexes
from lookalike.pipeline.promote import Checks
from lookalike.pipeline.workspace import Workspace
from services.gateway.app import create_app
from services.gateway.readiness import Opener, Readier

PAIR = "colors/color_edges@1"


@pytest.fixture
def double() -> Iterator[QdrantDouble]:
    with QdrantDouble() as started:
        yield started


@pytest.fixture
def workspace(tmp_path: Path, prepared: Path, double: QdrantDouble) -> Iterator[Workspace]:
    """The gallery with its Qdrant index on the double, and looked at anew for every search."""
    shutil.copytree(prepared / "store", tmp_path / "store")
    made = wire(_settings(tmp_path, double))
    embedding_set = newest_set(made, "colors", "color_edges")
    indexes = build_indexes(made, "colors", embedding_set, ["exact", "faiss", "qdrant"])
    # Without the gate, which would open what is live before the tests do.
    promote_indexes(made, "colors", embedding_set, indexes, checks=Checks(made.min_parity))
    yield made
    made.close()


@pytest.fixture
def client(tmp_path: Path, workspace: Workspace, double: QdrantDouble) -> Iterator[TestClient]:
    with TestClient(create_app(workspace, wire_jobs(_settings(tmp_path, double), workspace))) as made:
        yield made


def _settings(folder: Path, double: QdrantDouble):
    return settings_of(folder, LOOKALIKE_QDRANT__URL=double.url, LOOKALIKE_SEARCH__POLL_S="0")


def keys(client: TestClient, image_id: str, backend: str) -> list[str]:
    answer = client.post(SEARCH, json={"image_id": image_id, "backend": backend, "k": 30})
    assert answer.status_code == 200, answer.text
    return [hit["key"] for hit in answer.json()["hits"]]


def test_only_searches_that_need_it_fail_and_they_say_why(client: TestClient, double: QdrantDouble) -> None:
    image_id = first_image(client)["image_id"]
    before = keys(client, image_id, "qdrant")
    double.stop()
    for _ in range(3):
        body = problem(
            client.post(SEARCH, json={"image_id": image_id, "backend": "qdrant"}), 503, "dependency_unavailable"
        )
        assert "Qdrant server" in body["detail"]
        assert "does not answer" in body["detail"]
        assert body["dependency"] == "qdrant"
        for backend in ("exact", "faiss"):
            assert keys(client, image_id, backend) == before
    double.start()
    assert keys(client, image_id, "qdrant") == before


def test_the_others_serve_what_goes_live_meanwhile(client: TestClient, double: QdrantDouble) -> None:
    """An image is deleted while the server is down: it is gone at once, and from Qdrant when that is back."""
    gone, asked = first_image(client, "cold/blue/1.png"), first_image(client)["image_id"]
    for backend in ("exact", "qdrant"):
        assert gone["key"] in keys(client, asked, backend)
    double.stop()
    assert client.delete(f"/v1/galleries/colors/images/{gone['image_id']}").status_code < 300
    for backend in ("exact", "faiss"):
        assert gone["key"] not in keys(client, asked, backend)
    problem(client.post(SEARCH, json={"image_id": asked, "backend": "qdrant"}), 503, "dependency_unavailable")
    double.start()
    assert keys(client, asked, "qdrant") == keys(client, asked, "exact")


def test_a_deleted_gallery_leaves_nothing_on_the_server(
    client: TestClient, workspace: Workspace, double: QdrantDouble
) -> None:
    problem(client.delete("/v1/galleries/nothing"), 404, "gallery_not_found")
    assert double.points.collections
    assert double.points.aliases
    assert client.delete("/v1/galleries/colors").status_code == 204
    assert (dict(double.points.collections), dict(double.points.aliases)) == ({}, {})


def test_a_gateway_that_starts_without_it_is_ready_and_its_problem_clears(
    workspace: Workspace, double: QdrantDouble
) -> None:
    double.stop()
    opener = Opener(workspace, retry_s=0.05)
    opener.start()
    assert opener.wait(60)
    said = Readier(workspace, opener, {}).look()
    assert (said.status, said.opening, list(said.problems)) == ("degraded", False, [f"{PAIR}/qdrant"])
    assert "does not answer" in said.problems[f"{PAIR}/qdrant"]
    double.start()
    wait_until(lambda: not opener.problems, what="the problem to clear")
    opened = {backend for _, backend in workspace.serving.gallery("colors").opened()}
    assert opened == {"exact", "faiss", "qdrant"}
    opener.stop()


def test_an_index_that_waits_for_it_keeps_no_other_from_being_opened(
    workspace: Workspace, double: QdrantDouble
) -> None:
    asked, answers = threading.Event(), threading.Event()

    def stall(method: str, path: str) -> None:
        asked.set()
        answers.wait(60)

    served = workspace.serving.refresh("colors")
    assert served.opened() == []
    double.fault = stall
    waiting = threading.Thread(target=served.index, args=(None, "qdrant"))
    waiting.start()
    assert asked.wait(30)
    served.index(None, "faiss")
    assert served.opened() == [("color_edges@1", "faiss")]
    answers.set()
    waiting.join()
    assert len(served.opened()) == 2
