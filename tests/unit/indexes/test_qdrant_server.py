"""The adapter of the Qdrant server, on the client's local mode, and its failures on real sockets."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from lookalike.bootstrap import wire
from lookalike.errors import DamagedArtifact, DependencyUnavailable, MissingExtra
from lookalike.indexes.params import complete
from lookalike.indexes.port import BuildInput
from lookalike.indexes.qdrant_edge import QdrantEdgeBackend
from lookalike.indexes.qdrant_server import QdrantServerBackend
from lookalike.indexes.qdrant_server_options import ServerOptions
from lookalike.settings import load
from lookalike.types.ids import image_id, pack_ids
from lookalike.types.images import ImageRecord

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]
EMBEDDINGS_ND = np.eye(5, 8, dtype=np.float32)
IDS_N16 = pack_ids(image_id("g", str(row)) for row in range(5))


def source(metadata: str = "a") -> BuildInput:
    records = [
        ImageRecord(
            image_id=image_id("g", str(row)),
            key=str(row),
            sha256="0" * 64,
            size_bytes=1,
            width=1,
            height=1,
            format="png",
            metadata={"said": metadata},
        )
        for row in range(5)
    ]
    return BuildInput(EMBEDDINGS_ND, IDS_N16, lambda: iter(records))


def build(backend: QdrantServerBackend, directory: Path, metadata: str = "a", **params: object) -> str:
    """Builds and returns the collection's name."""
    directory.mkdir()
    backend.build(source(metadata), directory, complete(backend.capabilities.build_params, params))
    name: str = json.loads((directory / "artifact.json").read_bytes())["built"]["collection"]
    return name


def test_the_artifact_only_names_a_collection_that_holds_points_and_payloads(tmp_path: Path) -> None:
    client = QdrantClient(":memory:")
    name = build(QdrantServerBackend(client), tmp_path / "index")
    assert [path.name for path in (tmp_path / "index").iterdir()] == ["artifact.json"]
    assert name.startswith("lookalike-")
    points, _ = client.scroll(name, limit=10, with_payload=True)
    assert {str(point.id): point.payload for point in points} == {
        image_id("g", str(row)): {"key": str(row), "text": {"said": "a"}} for row in range(5)
    }


def test_the_same_again_is_the_same_collection_and_anything_else_another(tmp_path: Path) -> None:
    client = QdrantClient(":memory:")
    backend = QdrantServerBackend(client)
    name = build(backend, tmp_path / "one")
    client.delete_payload(name, ["text"], points=[image_id("g", "0")])  # shows whether points are written again
    assert build(backend, tmp_path / "two") == name
    assert client.retrieve(name, [image_id("g", "0")])[0].payload == {"key": "0"}
    assert len({name, build(backend, tmp_path / "b", "b"), build(backend, tmp_path / "dot", metric="dot")}) == 3


@pytest.mark.parametrize("left", ["too few", "too many"])
def test_an_incomplete_collection_is_completed(left: str, tmp_path: Path) -> None:
    client = QdrantClient(":memory:")
    backend = QdrantServerBackend(client)
    name = build(backend, tmp_path / "one")
    if left == "too few":
        client.delete(name, models.PointIdsList(points=[image_id("g", "1"), image_id("g", "3")]))
    else:
        client.upsert(name, [models.PointStruct(id=7, vector=[1.0] * 8)])
    with pytest.raises(DamagedArtifact):
        backend.open(tmp_path / "one", EMBEDDINGS_ND, IDS_N16)
    assert build(backend, tmp_path / "two") == name
    index = backend.open(tmp_path / "one", EMBEDDINGS_ND, IDS_N16)
    assert index.search(EMBEDDINGS_ND, 1).rows_QK[:, 0].tolist() == list(range(5))


def test_a_collection_that_is_gone_is_a_damaged_index(tmp_path: Path) -> None:
    client = QdrantClient(":memory:")
    backend = QdrantServerBackend(client)
    client.delete_collection(build(backend, tmp_path / "one"))
    with pytest.raises(DamagedArtifact, match="build the index again"):
        backend.open(tmp_path / "one", EMBEDDINGS_ND, IDS_N16)


def test_neither_kind_opens_the_other_s_index(tmp_path: Path) -> None:
    server, edge = QdrantServerBackend(QdrantClient(":memory:")), QdrantEdgeBackend()
    build(server, tmp_path / "server")
    (tmp_path / "edge").mkdir()
    edge.build(source(), tmp_path / "edge", complete(edge.capabilities.build_params, {}))
    for backend, folder in ((server, "edge"), (edge, "server")):
        with pytest.raises(DamagedArtifact):
            backend.open(tmp_path / folder, EMBEDDINGS_ND, IDS_N16)
    assert server.capabilities.build_params != edge.capabilities.build_params  # so the catalog keeps them apart


@pytest.fixture
def answering() -> Iterator[tuple[str, list[tuple[int, str | None]]]]:
    """A server that answers everything with the status that stands first in the list and keeps the key it got."""
    said: list[tuple[int, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = said[0][0]
            said.append((status, self.headers.get("api-key")))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_POST = do_PATCH = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", said
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_server_that_refuses_is_unavailable_and_no_secret_is_told(
    status: int, answering: tuple[str, list[tuple[int, str | None]]], tmp_path: Path
) -> None:
    url, said = answering
    said.append((status, None))
    with pytest.raises(DependencyUnavailable, match=str(status)) as refused:
        build(QdrantServerBackend(url, ServerOptions(api_key="s3cret-key")), tmp_path / "one")
    assert said[1][1] == "s3cret-key"
    assert "s3cret" not in f"{refused.value} {refused.value.details} {refused.value.__cause__}"
    assert not list((tmp_path / "one").iterdir())


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://user:s3cret@127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(DependencyUnavailable, match="does not answer") as refused:
            build(QdrantServerBackend(url), tmp_path / "one")
    assert "s3cret" not in f"{refused.value} {refused.value.details}"


def test_a_client_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "qdrant_client", None)
    with pytest.raises(MissingExtra, match=r"lookalike\[qdrant\]"):
        build(QdrantServerBackend("http://127.0.0.1:1"), tmp_path / "one")


def test_the_setting_decides_where_qdrant_is(tmp_path: Path) -> None:
    """Nothing is connected to before it is needed, so the URL may name a server that is down."""
    storage = {"LOOKALIKE_STORAGE__FOLDER": f"{tmp_path}/store", "LOOKALIKE_STORAGE__CACHE": f"{tmp_path}/cache"}
    without = wire(load(storage, tmp_path / "none.toml"))
    assert isinstance(without.backend("qdrant"), QdrantEdgeBackend)
    said = {**storage, "LOOKALIKE_QDRANT__URL": "http://127.0.0.1:1", "LOOKALIKE_QDRANT__API_KEY": "s3cret-key"}
    named = wire(load(said, tmp_path / "none.toml"))
    assert isinstance(named.backend("qdrant"), QdrantServerBackend)
    assert named.backend("qdrant") is named.backend("qdrant")
    assert named.backend("exact").name == "exact"
    without.close()
    named.close()


def test_a_build_waits_until_everything_is_indexed(tmp_path: Path) -> None:
    """Red or an hour of yellow is a failure; the wait is the injected one."""
    waits: list[float] = []

    class Indexing(QdrantClient):
        def get_collection(self, collection_name: str, **_: object) -> models.CollectionInfo:
            info = super().get_collection(collection_name)
            green = len(waits) >= 3
            return info if green else info.model_copy(update={"status": models.CollectionStatus.YELLOW})

    build(QdrantServerBackend(Indexing(":memory:"), sleep=waits.append), tmp_path / "one")
    assert len(waits) == 3
