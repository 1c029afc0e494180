"""index -> live: parity check, evaluation gate, one conditional write."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lookalike.catalog.embedding_sets import EmbeddingSet, EmbeddingSets
from lookalike.catalog.galleries import Galleries
from lookalike.catalog.indexes import IndexManifest
from lookalike.catalog.live import Live, LiveModel, LivePointers
from lookalike.errors import GateFailed, InvalidRequest, LookalikeError, ParityFailed, PreconditionFailed
from lookalike.pipeline.gate_rule import GateRule
from lookalike.pipeline.promotion_gate import Comparison, baseline_of, compare_with_live, require_no_worse
from lookalike.pipeline.workspace import Workspace
from lookalike.telemetry.stages import stage

_MAX_JUDGEMENTS = 10


@dataclass(frozen=True)
class Checks:
    """What stands before a promotion. ``gate`` None: no evaluation gate.

    ``force`` promotes although a check fails; what it overrode is kept in the live pointer. ``judged`` is told what
    the gate compared, each time that it does, before it refuses.
    """

    min_parity: float
    gate: GateRule | None = None
    force: bool = False
    judged: Callable[[Sequence[Comparison]], None] = lambda comparisons: None


def promote(
    workspace: Workspace,
    embedding_set: EmbeddingSet,
    manifests: Sequence[IndexManifest],
    checks: Checks,
    *,
    make_default: bool = True,
    replaces_default: bool = False,
) -> Live:
    """Makes ``manifests``, all built from ``embedding_set``, what the gallery serves under this model.

    Any number of promotions may run at once: each is written, in some order, and each was compared with exactly
    what it replaces: when something else becomes the default model's in the meantime, the gate judges again.

    Raises ParityFailed when an index returned the exact neighbours less often than ``checks.min_parity`` (knn
    recall), GateFailed when the gate finds it worse than what is live, InvalidRequest for an index of another set,
    and PreconditionFailed when what is live changed under every judgement.
    """
    pointers, gallery = workspace.pointers, embedding_set.gallery
    entry = _entry(workspace.sets, embedding_set, manifests)
    failed = [error for error in (parity_failure(manifests, checks.min_parity),) if error is not None]
    _refuse_unless_forced(failed, checks)
    with stage("promote", gallery=gallery):
        for _ in range(_MAX_JUDGEMENTS):
            judged, worse = _judge(workspace, gallery, entry, checks)
            _refuse_unless_forced(worse, checks)
            forced = tuple(error.message for error in [*failed, *worse])

            def still_so(present: Live | None, judged: LiveModel | None = judged) -> None:
                if checks.gate is not None and _answers(baseline_of(present)) != _answers(judged):
                    raise _JudgedAnother(f"something else went live in {gallery!r}", gallery=gallery)

            try:
                return pointers.promote(
                    gallery,
                    version_id=lambda: workspace.galleries.get(gallery).version_id,
                    # As they are after the gate took its time.
                    entry=_entry(workspace.sets, embedding_set, manifests).model_copy(update={"forced": forced}),
                    make_default=make_default,
                    replaces_default=replaces_default,
                    check=still_so,
                )
            except _JudgedAnother:
                continue
        raise PreconditionFailed(f"what is live in {gallery!r} kept changing: promote again", gallery=gallery)


def parity_failure(manifests: Sequence[IndexManifest], min_parity: float) -> ParityFailed | None:
    """The first index that agrees with exact search less than ``min_parity``, as an error."""
    for manifest in manifests:
        if manifest.parity is not None and manifest.parity.knn_recall < min_parity:
            return ParityFailed(
                f"{manifest.index_id} has knn recall@{manifest.parity.k} {manifest.parity.knn_recall:.3f}, "
                f"below {min_parity}",
                index=manifest.index_id,
                knn_recall=manifest.parity.knn_recall,
                min_parity=min_parity,
            )
    return None


def roll_back(galleries: Galleries, sets: EmbeddingSets, pointers: LivePointers, gallery: str) -> Live:
    """Serves what the last promotion replaced. Images deleted since stay deleted.

    Raises GalleryNotFound, or NothingToRollBack.
    """
    galleries.get(gallery)
    live = pointers.roll_back(gallery)
    return follow_gallery(galleries, sets, pointers, gallery) or live


def follow_gallery(galleries: Galleries, sets: EmbeddingSets, pointers: LivePointers, gallery: str) -> Live | None:
    """Serves the gallery's present version: deleted images go at once, embedded ones come.

    Every live model is taken to its newest complete embedding set; None while nothing is live.
    """

    def newest(live: Live) -> Mapping[str, str]:
        return {
            name: found.set_id
            for name, entry in live.models.items()
            if (found := sets.newest(gallery, entry.model_digest)) is not None
        }

    return pointers.follow(gallery, version_id=lambda: galleries.get(gallery).version_id, newest=newest)


class _JudgedAnother(PreconditionFailed):
    """The gate compared with something that is no longer live."""


def _entry(sets: EmbeddingSets, embedding_set: EmbeddingSet, manifests: Sequence[IndexManifest]) -> LiveModel:
    if not manifests:
        raise InvalidRequest("there is no index to promote")
    for manifest in manifests:
        if manifest.set_id != embedding_set.set_id:
            raise InvalidRequest(f"{manifest.index_id} was built from another embedding set", index=manifest.index_id)
    newest = sets.newest(embedding_set.gallery, embedding_set.model_digest)
    return LiveModel(
        model=embedding_set.model,
        model_digest=embedding_set.model_digest,
        base=embedding_set.set_id,
        newest=embedding_set.set_id if newest is None else newest.set_id,
        indexes={manifest.backend: manifest.index_id for manifest in manifests},
        promoted_at="",
    )


def _judge(
    workspace: Workspace, gallery: str, entry: LiveModel, checks: Checks
) -> tuple[LiveModel | None, list[LookalikeError]]:
    """What the gate compared ``entry`` with, and why it refuses, if it does."""
    if checks.gate is None:
        return None, []
    served = workspace.serving.refresh(gallery)
    try:
        comparisons = list(compare_with_live(workspace, served, entry, checks.gate))
        checks.judged(comparisons)
        require_no_worse(entry, comparisons, checks.gate)
    except GateFailed as error:
        return baseline_of(served.live), [error]
    return baseline_of(served.live), []


def _refuse_unless_forced(failed: Sequence[LookalikeError], checks: Checks) -> None:
    if failed and not checks.force:
        raise failed[0]


def _answers(entry: LiveModel | None) -> tuple[str, dict[str, str]] | None:
    """What decides an entry's answers, apart from images that come and go."""
    return None if entry is None else (entry.base, entry.indexes)
