"""An embedder on TorchServe, over HTTP: for machines without torch, and for GPUs that several of them share.

One request holds at most as many images as the model is fastest with; more are sent at the same time, and TorchServe
answers requests that wait together in one batch. A request is::

    POST /predictions/{served name}     Authorization: Bearer TOKEN   Lookalike-Shape: N,S,S,3   body: uint8, C order
                                        -> Lookalike-Shape: N,D   Lookalike-Model: DIGEST   body: float32, little-endian

and with ``Lookalike-Describe`` and no body the model says what it is. The served name holds the digest of what the
model computes, and every answer names it in full, so that two models are never mixed. It is asked of our supervisor
(``services/embedder/torchserve``); TorchServe itself answers the same to one of its own keys.

Shape suffixes: N images, H and W their height and width, C channels, D dimension.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lookalike.embedding.remote_http import EmbedderConnection, Patience
from lookalike.embedding.remote_protocol import (
    DESCRIBE_HEADER,
    MODEL_HEADER,
    SHAPE_HEADER,
    RemoteModel,
    served_name,
)
from lookalike.embedding.runtime import Runtime
from lookalike.embedding.shapes import check_images, unit_rows
from lookalike.errors import DependencyUnavailable
from lookalike.telemetry.context import carried
from lookalike.types.models import ModelManifest
from lookalike.types.served import Round

# Its queue is full, it starts, or it does not serve the model yet: a registered one comes within seconds.
_COME_LATER = frozenset({404, 429, 503})
_REFUSED = frozenset({401, 403})
_TIMEOUT_S = 60.0  # longer than a full queue takes


class TorchServeEmbedder:
    """One model at TorchServe. Implements :class:`lookalike.embedding.port.Embedder`.

    Threads share the connections, and at most ``in_flight`` requests are under way; further ones wait here. What is
    sent again is said in :mod:`lookalike.embedding.remote_http`.

    Args:
        url: where the supervisor is, such as ``http://torchserve:8080``.
        manifest: of the model, as the catalog has it.
        token: what the supervisor asks for.
        batch_size: images a request instead of the number that the model asks for.
        patience_s: how long to come again while it has no room, or not the model.
        timeout_s: for connecting, and for each wait for bytes.
        sleep: how to pause between attempts.
        now: seconds of a clock that only goes forward.

    Raises DependencyUnavailable where TorchServe does not answer, refuses the token, or does not have the model.
    """

    def __init__(
        self,
        url: str,
        manifest: ModelManifest,
        *,
        token: str | None = None,
        batch_size: int | None = None,
        in_flight: int = 8,
        patience_s: float = 30.0,
        timeout_s: float = _TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wanted = manifest
        self._batch_size = batch_size
        self._path = f"/predictions/{served_name(manifest)}"
        self._server = EmbedderConnection(
            url,
            timeout_s=timeout_s,
            headers=_authorised(token),
            connections=in_flight,
            patience=Patience(_COME_LATER, patience_s),
            sleep=sleep,
            now=now,
        )
        self._room = threading.BoundedSemaphore(in_flight)
        self._pool = ThreadPoolExecutor(in_flight, "torchserve")
        try:
            self._model = self._describe()
        except BaseException:
            self.close()
            raise

    @property
    def manifest(self) -> ModelManifest:
        return self._model.manifest

    @property
    def batch_size(self) -> int:
        return self._batch_size or self._model.batch_size

    @property
    def runtime(self) -> Runtime:
        """That of TorchServe's worker, for the requests that this client sends."""
        return self._model.runtime.model_copy(update={"batch_size": self.batch_size})

    def embed(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See the port. How the images are cut into requests depends on N alone.

        On a GPU the other requests that happen to be answered in the same batch may change the last bits.
        """
        check_images(images_NHWC, self.manifest)
        size = min(self.batch_size, self._model.max_images)
        starts = range(0, len(images_NHWC), size)
        chunks = [images_NHWC[start : start + size] for start in starts]
        # A query goes without another thread.
        found = self._embed_at_once(chunks) if len(chunks) > 1 else [self._embed_request(one) for one in chunks]
        return unit_rows(np.concatenate([np.empty((0, self.manifest.dimension), np.float32), *found]))

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._server.close()

    def _embed_at_once(self, chunks: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """One request for each; once one has failed, no further one is begun."""
        requests = [self._pool.submit(carried(self._embed_request), chunk) for chunk in chunks]
        try:
            return [request.result() for request in requests]
        finally:
            for request in requests:
                request.cancel()

    def _describe(self) -> RemoteModel:
        response = self._ask({DESCRIBE_HEADER: "1"}, b"")
        try:
            described = RemoteModel.model_validate_json(response.content)
        except ValidationError as error:
            raise self._server.unavailable("is no TorchServe of this version") from error
        if described.manifest.embedding_digest != self._wanted.embedding_digest:
            raise self._server.unavailable(f"serves another model under the name of {self._wanted.ref}")
        return described

    def _embed_request(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        shape = ",".join(str(side) for side in images_NHWC.shape)
        headers = {"Content-Type": "application/octet-stream", SHAPE_HEADER: shape}
        response = self._ask(headers, np.ascontiguousarray(images_NHWC).tobytes())
        expected = (len(images_NHWC), self.manifest.dimension)
        if response.headers.get(SHAPE_HEADER) != f"{expected[0]},{expected[1]}" or (
            len(response.content) != 4 * expected[0] * expected[1]
        ):
            raise self._server.unavailable("answered with embeddings of another shape")
        if response.headers.get(MODEL_HEADER) != self._wanted.embedding_digest:
            raise self._server.unavailable(f"answered with another model than {self._wanted.ref}")
        return np.frombuffer(response.content, "<f4").reshape(expected)

    def _ask(self, headers: dict[str, str], body: bytes) -> httpx.Response:
        with self._room:
            response = self._server.request("POST", self._path, headers=headers, content=body)
        match response.status_code:
            case 200:
                return response
            case status if status in _REFUSED:
                raise self._server.unavailable("refuses the token (embedder.token)")
            case 404:
                raise self._server.unavailable(f"does not serve {self._wanted.ref}")
            case status:
                raise self._server.unavailable(f"answered {status}{_reason(response)}")


def reconcile(url: str, token: str | None) -> Round:
    """Has the supervisor at ``url`` compare its models with the registered ones now. Raises DependencyUnavailable."""
    server = EmbedderConnection(url, timeout_s=_TIMEOUT_S, headers=_authorised(token))
    try:
        response = server.request("POST", "/v1/reconcile", headers={})
        if response.status_code in _REFUSED:
            raise server.unavailable("refuses the token (embedder.token)")
        if response.status_code != 200:
            raise server.unavailable(f"answered {response.status_code}{_reason(response)}")
        return Round.model_validate_json(response.content)
    except ValidationError as error:
        raise DependencyUnavailable(f"{server.url} is no TorchServe of ours", dependency="embedder") from error
    finally:
        server.close()


def _authorised(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _reason(response: httpx.Response) -> str:
    """What a problem document says."""
    if response.headers.get("content-type") != "application/problem+json":
        return ""
    said = response.json()
    return f": {said.get('title')}" if isinstance(said, dict) else ""
