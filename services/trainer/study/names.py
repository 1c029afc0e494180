"""What the systems are called that a study compares under one model."""

from services.trainer.study.decomposition import Metric

EXACT = "exact"


def by(metric: Metric, normalised: bool) -> str:
    """The name of exact search by ``metric`` on normalised or raw embeddings."""
    return f"{metric}, {'normalised' if normalised else 'raw'}"


def served(backend: str) -> str:
    """The name of a backend as it answers searches."""
    return f"{backend}, served"


def library(chosen: str) -> str:
    """The name of a library asked directly."""
    return f"{chosen}, alone"
