"""How far two embedding sets of one gallery and model are apart, from their documents alone."""

from lookalike.catalog.embedding_sets import EmbeddingSet


def num_added(base: EmbeddingSet, newest: EmbeddingSet) -> int:
    """Embeddings of ``newest`` that ``base`` does not have."""
    return newest.num_embeddings - _num_shared(base, newest)


def num_changed(base: EmbeddingSet, newest: EmbeddingSet) -> int:
    """Embeddings that only one of the two has."""
    return base.num_embeddings + newest.num_embeddings - 2 * _num_shared(base, newest)


def _num_shared(one: EmbeddingSet, other: EmbeddingSet) -> int:
    excluded = {part.part_id: part for part in one.parts}
    shared = 0
    for part in other.parts:
        if part.part_id in excluded:
            out = {*part.excluded_rows, *excluded[part.part_id].excluded_rows}
            shared += part.num_rows - len(out)
    return shared
