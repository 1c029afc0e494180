"""A collection that is killed between an index's manifest and its server: the next one leaves nothing on the server."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from doubles.qdrant_rest import QdrantDouble
from reembedded_gallery import GALLERY, NEW, NO_GATE, OLD, Tiles

from lookalike.catalog import keys
from lookalike.errors import DamagedArtifact
from lookalike.pipeline.collect import CollectReport, collect, collect_all
from lookalike.pipeline.reembed import reembed
from lookalike.pipeline.retention import Retention
from lookalike.storage.local import LocalStore

WANTED: dict[str, dict[str, object]] = {"exact": {}, "qdrant": {}}
LATER = timedelta(days=8)


class Killed(BaseException):
    """What ends a process in the middle."""


class DyingStore(LocalStore):
    """Its process ends at the delete after so many."""

    def __init__(self, root: Path, deletes: int) -> None:
        super().__init__(root)
        self.left = deletes

    def delete(self, key: str) -> None:
        if not self.left:
            raise Killed
        self.left -= 1
        super().delete(key)


@pytest.fixture
def server() -> Iterator[QdrantDouble]:
    with QdrantDouble() as started:
        yield started


@pytest.fixture
def tiles(tmp_path: Path, server: QdrantDouble) -> Iterator[Tiles]:
    made = Tiles(tmp_path, LOOKALIKE_QDRANT__URL=server.url)
    made.put(*range(12))
    reembed(made.at, GALLERY, OLD, WANTED, checks=NO_GATE)
    reembed(made.at, GALLERY, NEW, WANTED, checks=NO_GATE)
    yield made
    made.close()


def collect_later(tiles: Tiles) -> CollectReport:
    return collect(tiles.at, GALLERY, Retention(), now=lambda: datetime.now(UTC) + LATER)


def ours(server: QdrantDouble) -> int:
    """Collections on the server."""
    return len(server.points.collections)


@pytest.mark.parametrize("deletes", range(6))
def test_killed_at_any_delete_nothing_is_left_on_the_server(tiles: Tiles, server: QdrantDouble, deletes: int) -> None:
    assert ours(server) == 2
    live = tiles.at.pointers.get(GALLERY)
    assert live is not None
    old = live.models[OLD].indexes["qdrant"]
    whole, tiles.at = tiles.at, replace(tiles.at, store=DyingStore(tiles.folder / "store", deletes))
    with pytest.raises(Killed):
        collect_later(tiles)
    tiles.at = whole
    collect_later(tiles)
    assert ours(server) == 1
    assert [key for key in tiles.objects() if f"/{old}/" in key] == []
    assert [key for key in tiles.objects() if key.endswith("retired.json")] == []
    assert tiles.keys_of(NEW, "qdrant") == tiles.keys()


def test_killed_before_the_server_was_told_while_it_is_away(tiles: Tiles, server: QdrantDouble) -> None:
    live = tiles.at.pointers.get(GALLERY)
    assert live is not None
    old = live.models[OLD].indexes["qdrant"]
    _as_killed(tiles, old)
    server.stop()
    assert collect_later(tiles).kept_back == (old,)
    assert keys.retired_index(GALLERY, old) in tiles.objects()
    server.start()
    collect_later(tiles)
    assert ours(server) == 1
    assert [key for key in tiles.objects() if f"/{old}/" in key] == []


def test_one_that_was_taken_up_comes_back(tiles: Tiles, server: QdrantDouble) -> None:
    """Killed before it looked at the pointers, which name the index again by then."""
    live = tiles.at.pointers.get(GALLERY)
    assert live is not None
    new = live.models[NEW].indexes["qdrant"]
    manifest = tiles.at.indexes.get(GALLERY, new)
    _as_killed(tiles, new)
    collect(tiles.at, GALLERY, Retention())
    assert tiles.at.indexes.get(GALLERY, new) == manifest
    assert [key for key in tiles.objects() if key.endswith("retired.json")] == []
    assert ours(server) == 2


def _as_killed(tiles: Tiles, index_id: str) -> None:
    """The store as a collection leaves it that dies right after an index's manifest is gone."""
    key = keys.index_manifest(GALLERY, index_id)
    tiles.at.store.put(keys.retired_index(GALLERY, index_id), tiles.at.store.get(key))
    tiles.at.store.delete(key)


def test_what_cannot_be_collected_in_one_gallery_keeps_none_of_the_others(tiles: Tiles) -> None:
    tiles.at.galleries.create("damaged")
    pointer = tiles.at.galleries.get("damaged")
    tiles.at.store.delete(keys.gallery_version("damaged", pointer.version_id))
    tiles.at.galleries.create("later")
    made, failed = collect_all(tiles.at, Retention())
    assert [one.gallery for one in made] == ["later", GALLERY]
    assert isinstance(failed["damaged"], DamagedArtifact)
