"""Folds many small or partly deleted parts into full ones, without embedding anything again."""

import numpy as np

from lookalike.catalog.embedding_sets import PART_IMAGES, EmbeddingSet, EmbeddingSets, Part, SetPart, kept_rows, part_id
from lookalike.embedding.runtime import Runtime
from lookalike.errors import PreconditionFailed

# A number that no attempt has: a part of a run may have failed on some of what its name was made of.
_COMPACTED = -1


def compact(sets: EmbeddingSets, embedding_set: EmbeddingSet, *, part_images: int = PART_IMAGES) -> EmbeddingSet:
    """The same embeddings in as few parts as possible, stored and made the newest set.

    Full parts without deleted rows stay as they are. Not a bit of an embedding changes; the new parts are said to
    be made with whatever made those that went into them. Holds at most two parts in memory. Raises PreconditionFailed
    when another set is the newest at the end: its images must not be lost, so compact that one.
    """
    gallery, digest = embedding_set.gallery, embedding_set.model_digest
    etag = sets.newest_etag(gallery, digest)
    newest = sets.newest(gallery, digest)
    if newest is None or newest.parts != embedding_set.parts:
        raise PreconditionFailed(f"a set of {gallery!r} was compacted that is no longer the newest", gallery=gallery)
    parts: list[SetPart] = []
    held: list[Part] = []
    made_with: list[Runtime] = []
    alone: SetPart | None = None  # what is held is one whole part of the set

    def write(part: Part) -> None:
        identifier = part_id(digest, part.items_N48, _COMPACTED)
        if sets.part_manifest(gallery, digest, identifier) is None:
            sets.write_part(gallery, digest, identifier, part, made_with=tuple(made_with))
        parts.append(SetPart(part_id=identifier, num_rows=len(part.items_N48)))

    for used in embedding_set.parts:
        if not used.excluded_rows and used.num_rows >= part_images:
            parts.append(used)
            continue
        loaded, rows = sets.read_part(gallery, digest, used.part_id), kept_rows(used)
        alone = used if not held and not used.excluded_rows else None
        held.append(Part(loaded.embeddings_ND[rows], loaded.items_N48[rows]))
        source = sets.part_manifest(gallery, digest, used.part_id)
        of_this = () if source is None else source.made_with
        made_with.extend(runtime for runtime in of_this if runtime not in made_with)
        while sum(len(part.items_N48) for part in held) >= part_images:
            joined = _joined(held)
            write(Part(joined.embeddings_ND[:part_images], joined.items_N48[:part_images]))
            held = [Part(joined.embeddings_ND[part_images:], joined.items_N48[part_images:])]
            made_with[:] = of_this
    if alone is not None:
        parts.append(alone)
    elif sum(len(part.items_N48) for part in held):
        write(_joined(held))
    compacted = embedding_set.model_copy(update={"parts": tuple(parts)})
    sets.finish_over(compacted, etag)
    return compacted


def _joined(parts: list[Part]) -> Part:
    return Part(
        np.concatenate([part.embeddings_ND for part in parts]), np.concatenate([part.items_N48 for part in parts])
    )
