"""index -> live: parity check, evaluation gate, one write."""

from collections.abc import Callable, Mapping, Sequence

from lookalike.catalog.embedding_sets import EmbeddingSet, EmbeddingSets
from lookalike.catalog.galleries import Galleries
from lookalike.catalog.indexes import IndexManifest
from lookalike.catalog.live import Live, LiveModel, LivePointers
from lookalike.errors import InvalidRequest, ParityFailed

MIN_PARITY = 0.8


def promote(
    pointers: LivePointers,
    embedding_set: EmbeddingSet,
    manifests: Sequence[IndexManifest],
    *,
    min_parity: float = MIN_PARITY,
    gate: Callable[[], None] | None = None,
    make_default: bool = True,
) -> Live:
    """Makes ``manifests``, all built from ``embedding_set``, what the gallery serves under this model.

    ``gate`` raises GateFailed when an evaluation says no. Raises ParityFailed when an index returned the exact
    neighbours less often than ``min_parity`` (knn recall), and InvalidRequest for an index of another set.
    """
    check_parity_of(manifests, embedding_set, min_parity)
    if gate is not None:
        gate()
    entry = LiveModel(
        model=embedding_set.model,
        model_digest=embedding_set.model_digest,
        base=embedding_set.set_id,
        newest=embedding_set.set_id,
        indexes={manifest.backend: manifest.index_id for manifest in manifests},
        promoted_at="",
    )
    return pointers.promote(
        embedding_set.gallery, version_id=embedding_set.version_id, entry=entry, make_default=make_default
    )


def check_parity_of(manifests: Sequence[IndexManifest], embedding_set: EmbeddingSet, min_parity: float) -> None:
    """Raises ParityFailed or InvalidRequest when these indexes may not be promoted."""
    for manifest in manifests:
        if manifest.set_id != embedding_set.set_id:
            raise InvalidRequest(f"{manifest.index_id} was built from another embedding set", index=manifest.index_id)
        if manifest.parity is not None and manifest.parity.knn_recall < min_parity:
            raise ParityFailed(
                f"{manifest.index_id} has knn recall@{manifest.parity.k} {manifest.parity.knn_recall:.3f}, "
                f"below {min_parity}",
                index=manifest.index_id,
                knn_recall=manifest.parity.knn_recall,
            )


def roll_back(galleries: Galleries, sets: EmbeddingSets, pointers: LivePointers, gallery: str) -> Live:
    """Serves what the last promotion replaced. Images deleted since stay deleted."""
    live = pointers.roll_back(gallery)
    return follow_gallery(galleries, sets, pointers, gallery) or live


def follow_gallery(galleries: Galleries, sets: EmbeddingSets, pointers: LivePointers, gallery: str) -> Live | None:
    """Serves the gallery's present version: deleted images go at once, embedded ones come.

    Every live model is taken to its newest complete embedding set; None while nothing is live.
    """
    live = pointers.get(gallery)
    if live is None:
        return None
    newest: Mapping[str, str] = {
        name: found.set_id
        for name, entry in live.models.items()
        if (found := sets.newest(gallery, entry.model_digest)) is not None
    }
    return pointers.follow(gallery, version_id=galleries.get(gallery).version_id, newest=newest)
