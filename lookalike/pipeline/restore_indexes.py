"""Indexes that are not whole: those that a backup does not have in full, and those that a server has lost.

They are built again from their embedding set, with the parameters that they had, so that they have the names that the
live pointer knows them by.
"""

from collections.abc import Sequence

from lookalike.catalog import documents
from lookalike.catalog.indexes import IndexManifest, TunedParams
from lookalike.errors import DamagedArtifact, MissingExtra
from lookalike.indexes.port import outside_indexes
from lookalike.pipeline.index_gallery import build_indexes
from lookalike.pipeline.outside import await_ready, lies_outside, publish_live
from lookalike.pipeline.progress import Report, silent
from lookalike.pipeline.workspace import Workspace
from lookalike.storage.port import ObjectStore


def is_to_be_built(workspace: Workspace, backup: ObjectStore, key: str) -> bool:
    """Whether the backup does not have all of the index with this manifest. Asks no server."""
    manifest = documents.read(backup, IndexManifest, key)
    folder = key.removesuffix("index.json")
    if any(backup.head(folder + file.name) is None for file in manifest.files):
        return True
    try:
        server = outside_indexes(workspace.backend(manifest.backend))
    except MissingExtra:
        return False
    return server is not None and server.is_outside(manifest.build_params)


def build_missing(
    workspace: Workspace, backup: ObjectStore, gallery: str, wanted: Sequence[str], *, report: Report = silent
) -> list[str]:
    """Builds those indexes of ``wanted``, keys of manifests in the backup, that the store does not have; says which.

    Raises MissingExtra where this process lacks the library of a backend, DependencyUnavailable where its server is
    away, and DamagedArtifact where building gives another index than the live pointer names.
    """
    built = []
    for key in wanted:
        said = documents.read(backup, IndexManifest, key)
        present = workspace.indexes.find(gallery, said.index_id)
        if present is not None and _is_whole(workspace, present):
            continue
        _build_again(workspace, said, report)
        tuned = documents.read_or_none(backup, TunedParams, key.replace("index.json", "tuned.json"))
        if tuned is not None:
            workspace.indexes.put_tuned(gallery, said.index_id, tuned)
        built.append(said.index_id)
    return built


def rebuild_lost(workspace: Workspace, gallery: str, *, report: Report = silent) -> list[str]:
    """Builds again what a server has lost of the indexes that are live or can be rolled back to; says which.

    The store stays as it is but for the places on the server. Raises GalleryNotFound, and as :func:`build_missing`.
    """
    workspace.galleries.get(gallery)
    live = workspace.pointers.get(gallery)
    entries = [] if live is None else [*live.models.values(), *(one.entry for one in live.former if one.entry)]
    built = []
    for index_id in dict.fromkeys(index_id for entry in entries for index_id in entry.indexes.values()):
        manifest = workspace.indexes.get(gallery, index_id)
        if lies_outside(workspace, manifest) and not _is_whole(workspace, manifest):
            _build_again(workspace, manifest, report)
            built.append(index_id)
    if built:
        publish_live(workspace, gallery)
        workspace.pointers.announce(gallery)
    return built


def _build_again(workspace: Workspace, said: IndexManifest, report: Report) -> None:
    embedding_set = workspace.sets.get(said.gallery, said.set_id)
    (made,) = build_indexes(
        workspace, said.gallery, embedding_set, [said.backend], params=said.build_params, again=True, report=report
    )
    if made.index_id != said.index_id:
        raise DamagedArtifact(
            f"index {said.index_id} of {said.gallery} cannot be built again by this version: it gives {made.index_id}",
            index=said.index_id,
        )


def _is_whole(workspace: Workspace, manifest: IndexManifest) -> bool:
    """Whether a server that is to have the index has it. Raises DependencyUnavailable where it does not answer."""
    try:
        await_ready(workspace, [manifest])
    except DamagedArtifact:
        return False
    return True
