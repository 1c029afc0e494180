"""Answers of the handler: embeddings as the request accepts them, or a problem document.

Raw (``application/octet-stream``, also where a request accepts anything) is little-endian float32, C order, with its
shape in a header; an image of several that could not be read has a row of NaN, and its position is in a header. JSON
has ``null`` there, and the problem under ``errors``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.embedding.remote_protocol import FAILED_HEADER, MODEL_HEADER, SHAPE_HEADER, RemoteModel
from lookalike.errors import LookalikeError
from lookalike.types.models import ModelManifest
from services.embedder.problems import PROBLEM_TYPE, STATUS, problem
from services.embedder.torchserve.reading import Reading

_RAW, _JSON = "application/octet-stream", "application/json"


@dataclass(frozen=True)
class Answer:
    """The status, headers and body of one answer; ``headers`` has the content type."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def refusal(error: LookalikeError) -> Answer:
    """The problem document of ``error``, with its own status."""
    return Answer(STATUS[error.kind], {"content-type": PROBLEM_TYPE}, json.dumps(problem(error)).encode())


def description(model: RemoteModel) -> Answer:
    """What the model is, as JSON."""
    headers = {"content-type": _JSON, MODEL_HEADER: model.manifest.embedding_digest}
    return Answer(200, headers, model.model_dump_json().encode())


def embeddings(reading: Reading, rows_GD: NDArray[np.float32], manifest: ModelManifest, accept: str) -> Answer:
    """``rows_GD`` are of the images that could be read, in order. One file that could not be is refused."""
    if reading.is_single and reading.errors:
        return refusal(reading.errors[0])
    good = [position for position in range(reading.num_images) if position not in reading.errors]
    headers = {MODEL_HEADER: manifest.embedding_digest}
    if _wants_json(accept):
        found: list[list[float] | None] = [None] * reading.num_images
        for position, row in zip(good, rows_GD.tolist(), strict=True):
            found[position] = row
        document: dict[str, object] = {
            "model": manifest.name,
            "digest": manifest.embedding_digest,
            "embeddings": found,
            "errors": {str(position): problem(error) for position, error in sorted(reading.errors.items())},
        }
        return Answer(200, {**headers, "content-type": _JSON}, json.dumps(document).encode())
    rows_ND = np.full((reading.num_images, manifest.dimension), np.nan, "<f4")
    rows_ND[good] = rows_GD
    headers |= {"content-type": _RAW, SHAPE_HEADER: f"{rows_ND.shape[0]},{rows_ND.shape[1]}"}
    if reading.errors:
        headers[FAILED_HEADER] = ",".join(str(position) for position in sorted(reading.errors))
    return Answer(200, headers, rows_ND.tobytes())


def _wants_json(accept: str) -> bool:
    """Whether JSON is named before raw bytes; a client that accepts anything gets those."""
    for part in accept.lower().split(","):
        kind = part.split(";")[0].strip()
        if kind in (_JSON, "application/*+json", "text/json"):
            return True
        if kind in (_RAW, "*/*", "application/*"):
            return False
    return False
