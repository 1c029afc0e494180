"""Re-embedding: another model takes the place of the one that is live, while the gallery is searched and changed.

``embed_beside``, ``base_for``, ``build_beside``, ``catch_up``, ``compare_and_promote``, ``catch_up`` once more. Each
can be called again after a kill, in any process: what it did is in the store, and it finds that. Nothing of it is
seen by a search until the live pointer is written, once, between one request and the next.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict

from lookalike.catalog.embedding_sets import EmbeddingSet
from lookalike.catalog.indexes import IndexManifest
from lookalike.catalog.live import Live
from lookalike.errors import IndexNotFound, InvalidRequest
from lookalike.indexes.params import complete
from lookalike.pipeline.build import identity_of
from lookalike.pipeline.embed import EmbedReport, covers
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.pipeline.promote import Checks, follow_gallery
from lookalike.pipeline.promotion_gate import Comparison
from lookalike.pipeline.set_difference import num_changed
from lookalike.pipeline.workspace import Workspace
from lookalike.types.models import ModelRef

MAX_CATCH_UPS = 5
MAX_CHANGED = 0.1  # share of the images that may have come and gone since a build that is taken up again

Wanted = Mapping[str, Mapping[str, object]]  # backend to its build parameters


@dataclass(frozen=True)
class Promotion:
    """What is live now, and what was compared before; ``changed`` is false where the same was live already."""

    live: Live
    comparisons: tuple[Comparison, ...] = ()
    changed: bool = True


class ReembedReport(BaseModel):
    """``embedded`` counts what was embedded for this, ``reused`` what was there, ``failed`` what the ledger has.

    ``base`` is the set from which the indexes are built. ``comparisons`` are empty where nothing was live, or there
    was no gate. ``promoted`` is false where all of it was live before. ``forced`` are the checks that were overridden.
    """

    model_config = ConfigDict(frozen=True)

    gallery: str
    model: str
    base: str
    embedded: int
    reused: int
    failed: int
    built: tuple[str, ...]
    indexes: dict[str, str]
    comparisons: tuple[Comparison, ...]
    promoted: bool
    forced: tuple[str, ...]


def reembed(
    workspace: Workspace,
    gallery: str,
    model: str,
    wanted: Wanted,
    *,
    checks: Checks,
    retry_failed: bool = False,
    report: Report = silent,
) -> ReembedReport:
    """Embeds the gallery under ``model``, builds ``wanted`` and makes them the default in place of what is live.

    What was live is searched until then, can be rolled back to, and is served to those who name its model, until it
    is collected. An image that is added or deleted at any moment of this is so in both. With everything embedded,
    built and live already, nothing is done. Raises GateFailed or ParityFailed, leaving what is live and all that was
    made, so that the same again with ``checks.force`` only promotes; IndexNotFound, ModelNotFound, UnknownParameter,
    and what the steps raise.
    """
    model = str(workspace.models.get(ModelRef.parse(model)).ref)  # a version that comes meanwhile is another model
    made = embed_beside(workspace, gallery, model, retry_failed=retry_failed, report=report)
    base = base_for(workspace, gallery, model, wanted)
    built, manifests = [], []
    for backend in wanted:
        found = find_built(workspace, base, backend, wanted[backend])
        manifests.append(build_beside(workspace, base, backend, wanted[backend], report=report))
        built += [] if found is not None else [manifests[-1].index_id]
    embedded = made.embedded + catch_up(workspace, gallery, model, report=report)
    promotion = compare_and_promote(workspace, base, manifests, checks=checks, report=report)
    report(Progress("promote", 1, 1))
    embedded += catch_up(workspace, gallery, model, report=report)
    return reembed_report(base, promotion, embedded=embedded, reused=made.reused, failed=made.failed, built=built)


def reembed_report(
    base: EmbeddingSet, promotion: Promotion, *, embedded: int, reused: int, failed: int, built: Sequence[str]
) -> ReembedReport:
    """What a re-embedding that has come to its end says."""
    live = promotion.live.models[base.model]
    return ReembedReport(
        gallery=base.gallery,
        model=base.model,
        base=base.set_id,
        embedded=embedded,
        reused=reused,
        failed=failed,
        built=tuple(built),
        indexes=live.indexes,
        comparisons=promotion.comparisons,
        promoted=promotion.changed,
        forced=live.forced if promotion.changed else (),
    )


def wanted_indexes(workspace: Workspace, backends: Sequence[str], params: Mapping[str, Mapping[str, object]]) -> Wanted:
    """``backends`` with the build parameters that ``params`` has for each.

    Raises BackendNotFound, UnknownParameter, ParameterOutOfRange, or InvalidRequest for parameters of a backend that
    is not built.
    """
    others = sorted(set(params) - set(backends))
    if others:
        raise InvalidRequest(f"there are build parameters of {others[0]}, which is not built", backends=others)
    for name in backends:
        complete(workspace.backend(name).capabilities.build_params, params.get(name, {}))
    return {name: params.get(name, {}) for name in backends}


def embed_beside(
    workspace: Workspace, gallery: str, model: str, *, retry_failed: bool = False, report: Report = silent
) -> EmbedReport:
    """Completes the gallery's set under ``model``; the model's own images are all that is embedded."""
    return embed_gallery(workspace, gallery, model, retry_failed=retry_failed, report=report)


def base_for(workspace: Workspace, gallery: str, model: str, wanted: Wanted) -> EmbeddingSet:
    """The set to build from: the newest, or one of which part of ``wanted`` is built and that hardly differs from it.

    The latter so that a run goes on after a kill although images came in the meantime, and an unchanged gallery is
    not built again: up to ``MAX_CHANGED`` of the images may differ, which are searched exactly beside the indexes.
    Raises IndexNotFound when the gallery is not embedded under ``model``.
    """
    newest = newest_set(workspace, gallery, model)
    candidates = {newest.set_id: newest}
    for manifest in workspace.indexes.list(gallery):
        if manifest.model == newest.model and manifest.set_id not in candidates and manifest.backend in wanted:
            candidates[manifest.set_id] = workspace.sets.get(gallery, manifest.set_id)
    allowed = MAX_CHANGED * newest.num_embeddings

    def merit(candidate: EmbeddingSet) -> tuple[int, bool, int]:
        built = sum(find_built(workspace, candidate, backend, wanted[backend]) is not None for backend in wanted)
        return built, candidate is newest, -num_changed(candidate, newest)

    return max((one for one in candidates.values() if num_changed(one, newest) <= allowed), key=merit)


def find_built(
    workspace: Workspace, base: EmbeddingSet, backend: str, params: Mapping[str, object]
) -> IndexManifest | None:
    """The index that building would give, where it exists. Raises UnknownParameter or ParameterOutOfRange."""
    identity = identity_of(base, workspace.backend(backend), params, has_records=True)
    return workspace.indexes.find(base.gallery, identity.index_id)


def build_beside(
    workspace: Workspace, base: EmbeddingSet, backend: str, params: Mapping[str, object], *, report: Report = silent
) -> IndexManifest:
    """Builds one index of ``base``, or takes the one that exists. Raises as :func:`find_built`."""
    found = find_built(workspace, base, backend, params)
    if found is not None:
        with contextlib.suppress(IndexNotFound):  # somebody collected it
            workspace.indexes.touch(found)
            return found
    return build_indexes(workspace, base.gallery, base, [backend], params=params, report=report)[0]


def catch_up(workspace: Workspace, gallery: str, model: str, *, report: Report = silent) -> int:
    """Embeds what came since, until the newest set has the present version; says how many images that were.

    Where the model is live they are served when this returns. A gallery that keeps changing is left after
    ``MAX_CATCH_UPS`` rounds: whoever changes it then embeds under every live model.
    """
    embedded = 0
    for _ in range(MAX_CATCH_UPS):
        if covers(newest_set(workspace, gallery, model), workspace.galleries.version(gallery)):
            break
        embedded += embed_gallery(workspace, gallery, model, report=report).embedded
    follow_gallery(workspace.galleries, workspace.sets, workspace.pointers, gallery)
    return embedded


def compare_and_promote(
    workspace: Workspace,
    base: EmbeddingSet,
    manifests: Sequence[IndexManifest],
    *,
    checks: Checks,
    report: Report = silent,
) -> Promotion:
    """Asks both sets the same queries and makes ``manifests`` the default, unless they are that already.

    ``report`` is called before the one and before the other; what it raises leaves what is live. Raises as
    :func:`lookalike.pipeline.promote.promote`.
    """
    live = workspace.pointers.get(base.gallery)
    entry = None if live is None or live.default_model != base.model else live.models.get(base.model)
    indexes = {manifest.backend: manifest.index_id for manifest in manifests}
    if live is not None and entry is not None and (entry.base, entry.indexes) == (base.set_id, indexes):
        return Promotion(live, changed=False)
    judged: Sequence[Comparison] = ()

    def keep(comparisons: Sequence[Comparison]) -> None:
        nonlocal judged
        judged = comparisons
        report(Progress("promote", 0, 1))

    report(Progress("promote" if checks.gate is None else "compare", 0, 1))
    live = promote_indexes(
        workspace, base.gallery, base, manifests, checks=replace(checks, judged=keep), replaces_default=True
    )
    return Promotion(live, tuple(judged))
