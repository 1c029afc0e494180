"""Settings of searches, and of the indexes that answer them."""

from typing import Literal, TypeAlias

from pydantic import Field

from lookalike.setting_groups.group import Group, Listed

BackendName: TypeAlias = Literal["exact", "faiss", "annoy", "qdrant"]


class SearchSettings(Group):
    """Defaults of a search."""

    backend: BackendName = Field(default="faiss", description="backend of a search that names none, where it is live")
    poll_s: float = Field(
        default=1.0, ge=0, description="how often a process looks whether something else went live, seconds"
    )


class BuildSettings(Group):
    """What is built and what may go live."""

    backends: Listed[BackendName] = Field(
        default=("exact", "faiss", "annoy", "qdrant"), description="backends built when none is named"
    )
    min_parity: float = Field(
        default=0.8, ge=0, le=1, description="least knn recall@10 of an index that may be promoted"
    )


class GateSettings(Group):
    """When an index is measurably worse than what is live, and so may not be promoted; nothing while nothing is live.

    Both answer the same images of the gallery, as queries; a gallery without labels has nothing to compare.
    """

    enabled: bool = Field(default=True, description="compare what is promoted with what is live")
    level: Literal["subcategory", "supercategory"] = Field(
        default="subcategory", description="labels by which the gate measures precision"
    )
    k: int = Field(default=10, ge=1, le=1000, description="hits of each query that the gate looks at")
    max_drop: float = Field(
        default=0.02, ge=0, le=1, description="how far precision@k may be below that of what is live"
    )
    num_queries: int = Field(default=1000, ge=1, description="images that the gate asks for, a seeded sample")
