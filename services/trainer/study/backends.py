"""The search backends of the study, with the parameters that give them the study's metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lookalike.indexes.port import ParamValue


@dataclass(frozen=True)
class StudyBackend:
    """A backend of ours with build parameters; ``name`` is unique in the study, ``metric`` is for people."""

    name: str
    backend: str
    metric: str
    params: Mapping[str, ParamValue] = field(default_factory=dict)


# One thread and a seed: the same trees every time.
_TREES: Mapping[str, ParamValue] = {"metric": "angular", "seed": 0, "num_threads": 1}

SERVED = (
    StudyBackend("exact", "exact", "cosine", {"metric": "cosine"}),
    StudyBackend("faiss", "faiss", "Euclidean", {"metric": "l2"}),
    StudyBackend("annoy", "annoy", "angular", {**_TREES, "n_trees": 50}),
    StudyBackend("qdrant", "qdrant", "cosine", {"metric": "cosine"}),
)
"""The study's three, and ours: what the table measures through the function that answers searches."""

LIBRARIES = (
    StudyBackend("faiss Flat, l2", "faiss", "Euclidean", {"kind": "Flat", "metric": "l2"}),
    StudyBackend("faiss HNSW, l2", "faiss", "Euclidean", {"kind": "HNSW", "metric": "l2"}),
    StudyBackend("annoy, 50 trees", "annoy", "angular", {**_TREES, "n_trees": 50}),
    StudyBackend("annoy, 10 trees", "annoy", "angular", {**_TREES, "n_trees": 10}),
    StudyBackend("annoy, 1 tree", "annoy", "angular", {**_TREES, "n_trees": 1}),
)
"""Asked directly, for ten neighbours and no more: what is served fetches more candidates and orders them again."""
