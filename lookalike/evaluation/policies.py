"""What an evaluation does in the cases that could be done otherwise, in sentences for its report."""

STANDARD = "standard"
PAPER = "paper"
PROTOCOLS = (STANDARD, PAPER)

_BOTH = (
    "The gallery is the images that are served and have an embedding: an image without one is neither a query "
    "(counted as not embedded) nor relevant to any.",
    "A query without a label is left out of every mean and counted as unlabelled.",
    "knn recall is the share of the exact nearest neighbours, among all living images, that were returned; an image "
    "as similar as the last of them is as good as it.",
    "Latencies are of single searches by embedding in one thread, after warming up; times to read or embed an image "
    "are not in them.",
)


def policies(protocol: str, *, self_counts: bool, search_depth: int) -> tuple[str, ...]:
    """The policies of a run. ``search_depth`` is how deep R-precision goes through the backend itself."""
    if protocol == PAPER:
        return (
            *_BOTH,
            "Ten neighbours are retrieved and the first four are scored: precision@4 = relevant in the first 4 / 10 "
            "(at most 0.4), recall@4 = relevant in the first 4 / relevant among the 10.",
            f"The query itself {'may be one of' if self_counts else 'is not among'} its ten neighbours.",
            "A labelled query with nothing relevant among its ten neighbours scores 0 in both, and is counted as "
            "without relevant.",
        )
    return (
        *_BOTH,
        "The query's own image is excluded, from the hits and from R, the number of relevant images.",
        "A query with no relevant image in the gallery (R = 0) is left out of every mean and counted as without "
        "relevant.",
        "recall@k and mAP@k are divided by R, not by min(k, R).",
        f"R-precision looks at the first R hits: through the backend where R is at most {search_depth}; where R is "
        "larger than any search asks for, in the exact ranking of the living images, the same for every backend "
        "(how many queries that is, is stated).",
    )
