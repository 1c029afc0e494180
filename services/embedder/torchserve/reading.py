"""What one request to TorchServe asks for: its images as pixels, prepared as the model's manifest says.

Three forms of a body::

    application/octet-stream with Lookalike-Shape: N,S,S,3    N images as uint8 pixels, prepared already, C order
    multipart/form-data                                       images as files, one a part, each under another name
    anything else                                             one image as a file, in any format that is read

Shape suffixes: N images, G those of them that could be read, S the model's input size.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.embedding.remote_protocol import DESCRIBE_HEADER, SHAPE_HEADER
from lookalike.errors import InvalidRequest, LookalikeError, UnsupportedImage
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.types.models import ModelManifest
from services.embedder.pixels import shape_of

_BODY_NAMES = ("body", "data")  # TorchServe's names for a body that is no form


@dataclass(frozen=True)
class Reading:
    """The images of one request. ``errors`` says by position which of ``num_images`` could not be read, and why.

    A request that is malformed as a whole has ``refused`` and no images. ``is_single``: it was one file, whose error is
    the request's own.
    """

    images_GSSC: NDArray[np.uint8]
    num_images: int = 0
    errors: Mapping[int, LookalikeError] = field(default_factory=dict)
    refused: LookalikeError | None = None
    is_single: bool = False
    describes: bool = False


def read_request(
    parts: Mapping[str, Any], headers: Mapping[str, str], manifest: ModelManifest, limits: ImageLimits
) -> Reading:
    """``parts`` is what TorchServe made of a request; the names of ``headers`` are in lower case. Never raises."""
    nothing = np.empty((0, manifest.input_size, manifest.input_size, 3), np.uint8)
    if DESCRIBE_HEADER.lower() in headers:
        return Reading(nothing, describes=True)
    try:
        if SHAPE_HEADER.lower() in headers:
            pixels_NSSC = _pixels(parts, headers[SHAPE_HEADER.lower()], manifest.input_size)
            return Reading(pixels_NSSC, len(pixels_NSSC))
        files = _files(parts)
    except LookalikeError as error:
        return Reading(nothing, refused=error)
    read: list[NDArray[np.uint8]] = []
    errors: dict[int, LookalikeError] = {}
    for position, file in enumerate(files):
        try:
            read.append(_prepared(file, manifest, limits))
        except LookalikeError as error:
            errors[position] = error
    is_single = len(parts) == 1 and next(iter(parts)) in _BODY_NAMES
    return Reading(np.stack(read) if read else nothing, len(files), errors, is_single=is_single)


def _files(parts: Mapping[str, Any]) -> list[Any]:
    if not parts or (len(parts) == 1 and not next(iter(parts.values()))):
        raise InvalidRequest("the request has no image")
    return list(parts.values())


def _prepared(file: Any, manifest: ModelManifest, limits: ImageLimits) -> NDArray[np.uint8]:
    if not isinstance(file, (bytes, bytearray)):
        # TorchServe makes a string of text/* and an object of application/json.
        raise UnsupportedImage("an image is sent as image/* or application/octet-stream, not as text or JSON")
    return prepare(bytes(file), size=manifest.input_size, policy=manifest.resize_policy, limits=limits)


def _pixels(parts: Mapping[str, Any], said: str, size: int) -> NDArray[np.uint8]:
    shape = shape_of(said, size)
    body = next((parts[name] for name in _BODY_NAMES if name in parts), b"")
    if not isinstance(body, (bytes, bytearray)) or len(body) != math.prod(shape):
        raise InvalidRequest(
            f"the body must be application/octet-stream of {math.prod(shape)} bytes, as {SHAPE_HEADER} says",
            expected=math.prod(shape),
        )
    return np.frombuffer(body, np.uint8).reshape(shape)
