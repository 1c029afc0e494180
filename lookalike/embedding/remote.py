"""An embedder in another process, over HTTP: for machines without torch.

The protocol, which ``services/embedder`` serves::

    GET  /v1/models/{name}              If-Match: "<digest>" (may be left out)
                                        -> {"manifest": {…}, "batch_size": 16, "max_images": 256, "runtime": {…}}
    POST /v1/models/{name}/embeddings   If-Match: "<digest>"   Lookalike-Shape: N,S,S,3   body: uint8, C order
                                        -> Lookalike-Shape: N,D   body: float32, little-endian, C order

Errors are RFC 9457 problem+json with a ``code``. ``If-Match`` carries the digest of the model that the client
knows: a server that does not serve that one answers 412, so that two models are never mixed. It also chooses
among several versions of one name.

Shape suffixes: N images, H and W their height and width, C channels, D dimension.
"""

import time
from collections.abc import Callable
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lookalike.embedding.remote_http import EmbedderConnection
from lookalike.embedding.remote_protocol import SHAPE_HEADER, RemoteModel
from lookalike.embedding.runtime import Runtime
from lookalike.embedding.shapes import check_images, unit_rows
from lookalike.errors import ModelNotFound
from lookalike.types.models import ModelManifest


class RemoteEmbedder:
    """A model that an embedder service serves. Implements :class:`lookalike.embedding.port.Embedder`.

    Connections are kept and shared by all threads; what is sent again is said in
    :mod:`lookalike.embedding.remote_http`.

    Args:
        url: where the service is, such as ``http://embedder:8080``.
        model: name of the model there.
        digest: of the program that it must be; None takes whatever the server has under the name.
        batch_size: images per call instead of the number that the server asks for.
        timeout_s: for connecting, and for each wait for bytes.
        sleep: how to pause between attempts.

    Raises ModelNotFound, and DependencyUnavailable where the server does not answer or has another ``digest``.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        digest: str | None = None,
        batch_size: int | None = None,
        timeout_s: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._batch_size = batch_size
        self._path = f"/v1/models/{quote(model, safe='')}"
        self._server = EmbedderConnection(url, timeout_s=timeout_s, sleep=sleep)
        try:
            self._model = self._describe(model, digest)
        except BaseException:
            self._server.close()
            raise

    @property
    def manifest(self) -> ModelManifest:
        return self._model.manifest

    @property
    def batch_size(self) -> int:
        return self._batch_size or self._model.batch_size

    @property
    def runtime(self) -> Runtime:
        """That of the server, for the batches that this client sends."""
        return self._model.runtime.model_copy(update={"batch_size": self.batch_size})

    def embed(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See the port. More images than one request may hold are sent in several, one after another."""
        check_images(images_NHWC, self.manifest)
        embeddings_ND = np.empty((len(images_NHWC), self.manifest.dimension), np.float32)
        for start in range(0, len(images_NHWC), self._model.max_images):
            end = start + self._model.max_images
            embeddings_ND[start:end] = self._embed_request(images_NHWC[start:end])
        return unit_rows(embeddings_ND)

    def close(self) -> None:
        self._server.close()

    def _describe(self, model: str, digest: str | None) -> RemoteModel:
        headers = {} if digest is None else {"If-Match": f'"{digest}"'}
        response = self._server.request("GET", self._path, headers=headers)
        if response.status_code == 404:
            raise ModelNotFound(f"{self._server.url} serves no model {model!r:.100}", model=model[:100])
        if response.status_code == 412:
            raise self._server.unavailable(f"serves another {model!r:.100} than the one with digest {digest}")
        if response.status_code != 200:
            raise self._server.unavailable(f"answered {response.status_code}")
        try:
            described = RemoteModel.model_validate_json(response.content)
        except ValidationError as error:
            raise self._server.unavailable("is no embedder of this version") from error
        if digest is not None and described.manifest.digest != digest:
            raise self._server.unavailable(
                f"serves {model!r:.100} with digest {described.manifest.digest:.64}, not the one with digest {digest}"
            )
        return described

    def _embed_request(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        headers = {
            "Content-Type": "application/octet-stream",
            "If-Match": f'"{self.manifest.digest}"',
            SHAPE_HEADER: ",".join(str(side) for side in images_NHWC.shape),
        }
        body = np.ascontiguousarray(images_NHWC).tobytes()
        response = self._server.request("POST", f"{self._path}/embeddings", content=body, headers=headers)
        if response.status_code in (404, 412):
            raise self._server.unavailable(
                f"no longer serves {self.manifest.name} with digest {self.manifest.digest[:12]}"
            )
        if response.status_code != 200:
            raise self._server.unavailable(f"answered {response.status_code}")
        expected = (len(images_NHWC), self.manifest.dimension)
        if response.headers.get(SHAPE_HEADER) != f"{expected[0]},{expected[1]}" or (
            len(response.content) != 4 * expected[0] * expected[1]
        ):
            raise self._server.unavailable("answered with embeddings of another shape")
        return np.frombuffer(response.content, "<f4").reshape(expected)
