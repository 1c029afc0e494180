"""What clients and servers of embeddings over HTTP agree on, without a library for either."""

from pydantic import BaseModel, ConfigDict, Field

from lookalike.embedding.runtime import Runtime
from lookalike.types.models import ModelManifest

SHAPE_HEADER = "Lookalike-Shape"  # N,S,S,3 of pixels that are sent; N,D of embeddings that are answered
MODEL_HEADER = "Lookalike-Model"  # the embedding digest of the model that answered
FAILED_HEADER = "Lookalike-Failed"  # positions of images that could not be read; their rows are NaN
DESCRIBE_HEADER = "Lookalike-Describe"  # of a request without images, which asks TorchServe what the model is
MAX_REQUEST_BYTES = 64 << 20


class RemoteModel(BaseModel):
    """What a server says of a model. ``max_images`` is the most that one request may hold."""

    model_config = ConfigDict(frozen=True)

    manifest: ModelManifest
    batch_size: int = Field(ge=1)
    max_images: int = Field(ge=1)
    runtime: Runtime


def max_images(manifest: ModelManifest) -> int:
    """Images of pixels that fit into one request of :data:`MAX_REQUEST_BYTES`."""
    return max(MAX_REQUEST_BYTES // (3 * manifest.input_size**2), 1)


def served_name(manifest: ModelManifest) -> str:
    """What a model is called at TorchServe: by what it computes, so that no two models or preparations are mixed."""
    return f"{manifest.name}-{manifest.embedding_digest[:32]}"
