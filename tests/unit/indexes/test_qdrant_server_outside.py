"""What other programs see of our indexes on a Qdrant server: names and snapshots; the server is a test double."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from doubles.qdrant_rest import QdrantDouble
from qdrant_client import QdrantClient
from qdrant_small import build, source

from lookalike.errors import DamagedArtifact, DependencyUnavailable
from lookalike.indexes.port import outside_indexes
from lookalike.indexes.qdrant_edge import QdrantEdgeBackend
from lookalike.indexes.qdrant_server import QdrantServerBackend
from lookalike.indexes.qdrant_server_options import ServerOptions


@pytest.fixture
def double() -> Iterator[QdrantDouble]:
    with QdrantDouble() as started:
        yield started


def test_only_the_server_declares_that_it_keeps_indexes_outside(double: QdrantDouble, tmp_path: Path) -> None:
    server = QdrantServerBackend(double.url)
    assert outside_indexes(server) is server
    assert outside_indexes(QdrantEdgeBackend()) is None
    name = build(server, tmp_path / "index", source(5))
    assert server.place(tmp_path / "index") == name
    assert server.is_outside({"location": "server"})
    assert not server.is_outside({"location": "process"})
    with pytest.raises(DamagedArtifact):
        server.place(tmp_path)


def test_names_move_in_one_request_and_those_of_the_family_that_are_not_wanted_go(
    double: QdrantDouble, tmp_path: Path
) -> None:
    backend = QdrantServerBackend(double.url)
    one, two = (build(backend, tmp_path / str(number), source(number)) for number in (5, 6))
    backend.publish("lookalike-cats", {"lookalike-cats": one, "lookalike-cats.m@1": one, "lookalike-cats.n@1": two})
    backend.publish("lookalike-cats-big", {"lookalike-cats-big": two})
    backend.publish("lookalike-cats", {"lookalike-cats": two, "lookalike-cats.m@1": one})
    assert double.points.aliases == {
        "lookalike-cats": two,
        "lookalike-cats.m@1": one,
        "lookalike-cats-big": two,
    }
    changes = [request for request in double.requests if request == ("POST", "/collections/aliases")]
    assert len(changes) == 3
    number = len(double.requests)
    backend.publish("lookalike-cats", {"lookalike-cats": two, "lookalike-cats.m@1": one})
    assert double.requests[number:] == [("GET", "/aliases")]  # nothing to change
    outside = QdrantClient(double.url, check_compatibility=False)
    query = source(6).embeddings_ND[3].tolist()
    assert outside.query_batch_points("lookalike-cats", [_nearest(query)])[0].points[0].id == _id(3)
    assert len(outside.scroll("lookalike-cats", limit=10)[0]) == 6
    outside.close()


def _nearest(query: list[float]) -> object:
    from qdrant_client import models

    return models.QueryRequest(query=query, limit=1)


def _id(row: int) -> str:
    from lookalike.types.ids import image_id

    return image_id("g", str(row))


def test_a_name_for_what_is_gone_changes_nothing(double: QdrantDouble, tmp_path: Path) -> None:
    backend = QdrantServerBackend(double.url)
    one = build(backend, tmp_path / "one", source(5))
    backend.publish("lookalike-cats", {"lookalike-cats": one})
    with pytest.raises((DamagedArtifact, DependencyUnavailable)):
        backend.publish("lookalike-cats", {"lookalike-cats": "lookalike-none"})
    assert double.points.aliases == {"lookalike-cats": one}


@pytest.mark.parametrize(("kept", "left"), [(None, 4), (2, 2), (9, 4)])
def test_snapshots_are_made_and_the_oldest_beyond_those_kept_go(
    double: QdrantDouble, tmp_path: Path, kept: int | None, left: int
) -> None:
    backend = QdrantServerBackend(double.url, ServerOptions(snapshots_kept=kept))
    name = build(backend, tmp_path / "one", source(5))
    made = [backend.snapshot(name) for _ in range(4)]
    assert len(set(made)) == 4
    assert [one["name"] for one in double.points.collections[name].snapshots] == made[-left:]
    with pytest.raises(DamagedArtifact, match="no collection"):
        backend.snapshot("lookalike-none")
