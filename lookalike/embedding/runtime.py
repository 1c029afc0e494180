"""What computed an embedding: its lineage, as opposed to what it is of, which is its identity."""

from pydantic import BaseModel, ConfigDict, Field


class Runtime(BaseModel):
    """How an embedder computes: precision, device, images a batch, threads (None on a GPU), library versions.

    The same images under the same model and runtime give the same bits. Under another runtime they give
    embeddings that differ by rounding only, so that all of them may stand in one embedding set.
    """

    model_config = ConfigDict(frozen=True)

    precision: str
    device: str
    batch_size: int = Field(ge=1)
    threads: int | None = Field(default=None, ge=1)
    libraries: dict[str, str] = Field(default_factory=dict)
