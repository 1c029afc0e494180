"""What follows on a server that keeps indexes, when something goes live, is saved, or becomes garbage there.

The live pointer and the store stay the truth: nothing here undoes a promotion, and everything can be done again.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from lookalike.catalog.indexes import IndexManifest
from lookalike.catalog.live import LiveModel
from lookalike.errors import CapabilityMissing, IndexNotFound, LookalikeError, MissingExtra
from lookalike.indexes.port import OutsideIndexes, outside_indexes
from lookalike.pipeline.workspace import Workspace

_MAX_LOOKS = 10  # at the live pointer, while it keeps moving under the names that follow it

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Placed:
    """An index on a server, and where it is there."""

    server: OutsideIndexes
    manifest: IndexManifest
    place: str


def await_ready(workspace: Workspace, manifests: Sequence[IndexManifest]) -> None:
    """Returns once each of the indexes that is on a server is completely indexed there.

    Raises DependencyUnavailable, or DamagedArtifact for one that is gone.
    """
    for placed in _placed(workspace, manifests):
        placed.server.await_ready(placed.place)


def publish_live(workspace: Workspace, gallery: str) -> None:
    """Gives what is live its names on the servers: ``lookalike-<gallery>`` and ``lookalike-<gallery>.<model>``.

    The first is the default model's. Called after the live pointer was written. Of any number of calls at once the
    last names what is live: each looks again afterwards. A failure is logged: the next call makes up for it.
    """
    try:
        for _ in range(_MAX_LOOKS):
            etag = workspace.pointers.etag(gallery)
            _publish(workspace, gallery)
            if workspace.pointers.etag(gallery) == etag:
                return
    except LookalikeError as error:
        _log.warning("what is live in %s has not got its names on the server: %s", gallery, error.message)


def snapshot_live(workspace: Workspace, gallery: str) -> dict[str, JsonValue]:
    """Makes the servers save each live index of theirs; says by model which index is in which file.

    Raises CapabilityMissing where no backend keeps its indexes on a server, IndexNotFound where none of those that
    are live is there, DependencyUnavailable, DamagedArtifact.
    """
    servers = _servers(workspace)
    if not servers:
        raise CapabilityMissing("no backend keeps its indexes on a server: the setting qdrant.url names none")
    live = workspace.pointers.get(gallery)
    saved: dict[str, JsonValue] = {}
    for model, entry in {} if live is None else live.models.items():
        for name in servers:
            for placed in _placed(workspace, _manifests(workspace, gallery, entry, name)):
                saved[model] = {"index": placed.manifest.index_id, "file": placed.server.snapshot(placed.place)}
    if not saved:
        raise IndexNotFound(f"no index that is live in {gallery!r} is on a server", gallery=gallery)
    return {"snapshots": saved}


def retire_index(workspace: Workspace, manifest: IndexManifest) -> None:
    """Removes a garbage index from its server, unless another index of the gallery is at the same place.

    To be called while the index's files are still in the store, which say where it is; it does nothing for an index
    that is only files. Raises DependencyUnavailable: keep the files then, and try again later.
    """
    for placed in _placed(workspace, [manifest]):
        others = [
            other
            for other in workspace.indexes.list(manifest.gallery)
            if other.backend == manifest.backend and other.index_id != manifest.index_id
        ]
        if placed.place not in {other.place for other in _placed(workspace, others)}:
            placed.server.retire(placed.place)


def lies_outside(workspace: Workspace, manifest: IndexManifest) -> bool:
    """Whether the index is on a server that this process knows. Asks nobody."""
    server = _servers(workspace).get(manifest.backend)
    return server is not None and server.is_outside(manifest.build_params)


def retire_gallery(workspace: Workspace, gallery: str) -> None:
    """Removes the names and indexes of a gallery that is about to be deleted; a failure is logged."""
    try:
        for name, server in _servers(workspace).items():
            server.publish(_family(gallery), {})
            ours = [manifest for manifest in workspace.indexes.list(gallery) if manifest.backend == name]
            for place in sorted({placed.place for placed in _placed(workspace, ours)}):
                server.retire(place)
    except LookalikeError as error:
        _log.warning("indexes of %s are left on the server: %s", gallery, error.message)


def _family(gallery: str) -> str:
    return f"lookalike-{gallery}"  # gallery names have no full stop, which therefore ends one


def _publish(workspace: Workspace, gallery: str) -> None:
    live = workspace.pointers.get(gallery)
    for name, server in _servers(workspace).items():
        places: dict[str, str] = {}
        for model, entry in {} if live is None else live.models.items():
            for placed in _placed(workspace, _manifests(workspace, gallery, entry, name)):
                places[f"{_family(gallery)}.{model}"] = placed.place
                if live is not None and model == live.default_model:
                    places[_family(gallery)] = placed.place
        server.publish(_family(gallery), places)


def _manifests(workspace: Workspace, gallery: str, entry: LiveModel, backend: str) -> list[IndexManifest]:
    """Its index of ``backend``, if it has one."""
    index_id = entry.indexes.get(backend)
    return [] if index_id is None else [workspace.indexes.get(gallery, index_id)]


def _servers(workspace: Workspace) -> dict[str, OutsideIndexes]:
    """Those backends that keep their indexes on a server, by name."""
    servers = {}
    for name in workspace.backend_names:
        try:
            server = outside_indexes(workspace.backend(name))
        except MissingExtra:
            continue
        if server is not None:
            servers[name] = server
    return servers


def _placed(workspace: Workspace, manifests: Iterable[IndexManifest]) -> Iterator[_Placed]:
    """Those of the indexes that are on a server. Only their small files are fetched."""
    servers = _servers(workspace)
    for manifest in manifests:
        server = servers.get(manifest.backend)
        if server is not None and server.is_outside(manifest.build_params):
            yield _Placed(server, manifest, server.place(workspace.artifacts.index_folder(manifest)))
