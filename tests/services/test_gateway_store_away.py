"""A gateway whose store stops answering: what is open is searched as before, and what changes is noticed afterwards."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from gateway_calls import SEARCH, first_image, png, problem
from gateway_store import BACKENDS, at, settings_of
from real_servers import wait_until

from lookalike.bootstrap import wire, wire_jobs
from lookalike.errors import DependencyUnavailable
from lookalike.pipeline.change import delete_image
from lookalike.pipeline.workspace import Workspace
from services.gateway.app import create_app


@pytest.fixture
def workspace(tmp_path: Path, prepared: Path) -> Iterator[Workspace]:
    """The gallery, looked at anew for every search."""
    shutil.copytree(prepared / "store", tmp_path / "store")
    made = wire(settings_of(tmp_path, LOOKALIKE_SEARCH__POLL_S="0"))
    yield made
    made.close()


@pytest.fixture
def client(tmp_path: Path, workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(create_app(workspace, wire_jobs(settings_of(tmp_path), workspace))) as made:
        yield made


def test_what_is_open_is_searched_while_the_store_is_away(
    client: TestClient, workspace: Workspace, tmp_path: Path
) -> None:
    asked, gone = first_image(client), first_image(client, "cold/blue/1.png")
    before = {backend: _keys(client, asked["image_id"], backend) for backend in BACKENDS}
    uploaded = client.post(SEARCH, files={"image": ("q.png", png())}).json()["hits"]

    def away(*_: object, **__: object) -> None:
        raise DependencyUnavailable("the store does not answer", dependency="store")

    with pytest.MonkeyPatch.context() as patch:
        for call in ("get", "get_with_etag", "head", "list", "put", "put_if", "fetch_file"):
            patch.setattr(workspace.store, call, away)
        for _ in range(3):
            for backend in BACKENDS:
                assert _keys(client, asked["image_id"], backend) == before[backend]
        assert client.post(SEARCH, files={"image": ("q.png", png())}).json()["hits"] == uploaded
        problem(client.delete(f"/v1/galleries/colors/images/{gone['image_id']}"), 503, "dependency_unavailable")
        problem(client.get(f"/v1/galleries/colors/images/{gone['image_id']}/content"), 503, "dependency_unavailable")
        other = at(tmp_path)
        delete_image(other, "colors", gone["image_id"])
        other.close()
    wait_until(
        lambda: gone["key"] not in _keys(client, asked["image_id"], "exact"), what="the deletion is noticed afterwards"
    )
    assert set(before["exact"]) - set(_keys(client, asked["image_id"], "faiss")) == {gone["key"]}


def _keys(client: TestClient, image_id: str, backend: str) -> list[str]:
    answer = client.post(SEARCH, json={"image_id": image_id, "backend": backend, "k": 30})
    assert answer.status_code == 200, answer.text
    return [hit["key"] for hit in answer.json()["hits"]]
