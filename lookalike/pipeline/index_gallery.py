"""From a gallery and a model to promoted indexes: the steps between ingest and search, as the commands use them."""

import contextlib
from collections.abc import Mapping, Sequence

from lookalike.catalog.embedding_sets import EmbeddingSet
from lookalike.catalog.indexes import IndexManifest
from lookalike.catalog.live import Live
from lookalike.catalog.record_table import RecordTable
from lookalike.errors import IndexNotFound, PreconditionFailed
from lookalike.pipeline.build import build
from lookalike.pipeline.compact import compact
from lookalike.pipeline.embed import EmbedReport, embed, unopened
from lookalike.pipeline.outside import await_ready, publish_live
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.pipeline.promote import Checks, follow_gallery, promote, roll_back
from lookalike.pipeline.workspace import Workspace
from lookalike.types.models import ModelRef

_MAX_COMPACTIONS = 10


def embed_gallery(
    workspace: Workspace, gallery: str, model: str, *, retry_failed: bool = False, report: Report = silent
) -> EmbedReport:
    """Completes the gallery's embedding set under ``model``, and serves additions where it is live."""
    made = embed(
        workspace.store,
        workspace.galleries,
        workspace.sets,
        workspace.ledger,
        gallery,
        unopened(workspace, model),
        limits=workspace.limits,
        workers=workspace.decode_workers,
        retry_failed=retry_failed,
        report=report,
    )
    follow_gallery(workspace.galleries, workspace.sets, workspace.pointers, gallery)
    return made


def newest_set(workspace: Workspace, gallery: str, model: str) -> EmbeddingSet:
    """The newest embedding set of ``gallery`` under ``model``. Raises IndexNotFound when it was never embedded."""
    workspace.galleries.get(gallery)
    manifest = workspace.models.get(ModelRef.parse(model))
    found = workspace.sets.newest(gallery, manifest.embedding_digest)
    if found is None:
        raise IndexNotFound(f"{gallery!r} is not embedded under {manifest.ref}", gallery=gallery, model=model)
    # The same embeddings may have been made under another name of the same program.
    return found.model_copy(update={"model": str(manifest.ref)})


def build_indexes(
    workspace: Workspace,
    gallery: str,
    embedding_set: EmbeddingSet,
    backends: Sequence[str],
    *,
    params: Mapping[str, object] | None = None,
    again: bool = False,
    report: Report = silent,
) -> list[IndexManifest]:
    """Builds each of ``backends`` from the set and measures its parity; what exists only where ``again`` says so."""
    workspace.sets.store(embedding_set)
    version = workspace.galleries.version(gallery, embedding_set.version_id)
    table = RecordTable(workspace.artifacts.scratch() / "records.sqlite", workspace.store)
    try:
        table.follow(version)
        manifests = []
        for done, name in enumerate(backends):
            report(Progress(f"build {name}", done, len(backends)))
            manifests.append(
                build(
                    workspace.store,
                    workspace.indexes,
                    workspace.artifacts,
                    embedding_set,
                    workspace.backend(name),
                    params=params,
                    records=table.records,
                    again=again,
                )
            )
            report(Progress(f"build {name}", len(backends), len(backends)))
    finally:
        table.close()
    return manifests


def promote_indexes(
    workspace: Workspace,
    gallery: str,
    embedding_set: EmbeddingSet,
    manifests: Sequence[IndexManifest],
    *,
    checks: Checks | None = None,
    replaces_default: bool = False,
) -> Live:
    """Makes the indexes live; images changed since they were built stay served through their additions.

    Indexes on a server are waited for until it has indexed all of them (else DependencyUnavailable), and get their
    names there once they are live.

    ``checks`` None: those of the settings. ``replaces_default`` is that of
    :meth:`lookalike.catalog.live.LivePointers.promote`. Raises as :func:`lookalike.pipeline.promote.promote`.
    """
    checks = checks or Checks(workspace.min_parity, workspace.gate)
    await_ready(workspace, manifests)
    live = promote(workspace, embedding_set, manifests, checks, replaces_default=replaces_default)
    followed = follow_gallery(workspace.galleries, workspace.sets, workspace.pointers, gallery)
    workspace.serving.notice(gallery)
    publish_live(workspace, gallery)
    return followed or live


def roll_back_gallery(workspace: Workspace, gallery: str) -> Live:
    """Serves what the last promotion replaced, here and on servers that keep indexes.

    Raises GalleryNotFound, or NothingToRollBack.
    """
    live = roll_back(workspace.galleries, workspace.sets, workspace.pointers, gallery)
    workspace.serving.notice(gallery)
    publish_live(workspace, gallery)
    return live


def built_indexes(
    workspace: Workspace, gallery: str, embedding_set: EmbeddingSet, backends: Sequence[str] | None
) -> list[IndexManifest]:
    """The newest index of each backend built from the set. Raises IndexNotFound where one is missing."""
    newest: dict[str, IndexManifest] = {}
    for manifest in workspace.indexes.list(gallery):
        if manifest.set_id == embedding_set.set_id:
            known = newest.get(manifest.backend)
            if known is None or known.built_at < manifest.built_at:
                newest[manifest.backend] = manifest
    for name in backends or ():
        if name not in newest:
            raise IndexNotFound(f"no {name} index was built from the newest embeddings of {gallery!r}", backend=name)
    if not newest:
        raise IndexNotFound(f"no index was built from the newest embeddings of {gallery!r}", gallery=gallery)
    return [manifest for name, manifest in sorted(newest.items()) if backends is None or name in backends]


def _compacted(workspace: Workspace, gallery: str, model: str) -> EmbeddingSet:
    """The newest set in full parts, whoever adds images meanwhile."""
    for _ in range(_MAX_COMPACTIONS):
        with contextlib.suppress(PreconditionFailed):  # images came: once more, of what is not compacted yet
            return compact(workspace.sets, newest_set(workspace, gallery, model))
    raise PreconditionFailed(f"the images of {gallery!r} kept changing: compact it again", gallery=gallery)


def compact_gallery(workspace: Workspace, gallery: str, model: str, *, report: Report = silent) -> Live:
    """Folds additions and deletions of ``model`` into new indexes like the live ones and promotes them.

    Where there is nothing to fold, what is live stays as it is. Raises IndexNotFound.
    """
    live = workspace.pointers.get(gallery)
    embedding_set = _compacted(workspace, gallery, model)
    if live is None or embedding_set.model not in live.models:
        raise IndexNotFound(f"{embedding_set.model} is not live in {gallery!r}", gallery=gallery)
    if workspace.sets.get(gallery, live.models[embedding_set.model].base).parts == embedding_set.parts:
        return live
    manifests = []
    for index_id in live.models[embedding_set.model].indexes.values():
        former = workspace.indexes.get(gallery, index_id)
        manifests += build_indexes(
            workspace, gallery, embedding_set, [former.backend], params=former.build_params, report=report
        )
    return promote_indexes(workspace, gallery, embedding_set, manifests)
