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
from collections.abc import Callable, Mapping
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lookalike.embedding.runtime import Runtime
from lookalike.embedding.shapes import check_images, unit_rows
from lookalike.errors import DependencyUnavailable, InvalidRequest, MissingExtra, ModelNotFound
from lookalike.telemetry import tracing
from lookalike.telemetry.asgi import REQUEST_ID_HEADER
from lookalike.telemetry.context import current
from lookalike.types.models import ModelManifest

try:
    import httpx
except ImportError as error:
    raise MissingExtra("httpx", "galleries") from error

SHAPE_HEADER = "Lookalike-Shape"
_ATTEMPTS = 3
_FIRST_PAUSE_S = 0.1
_RETRIED_STATUS = frozenset({429, 502, 503, 504})


class RemoteModel(BaseModel):
    """What a server says of a model. ``max_images`` is the most that one request may hold."""

    model_config = ConfigDict(frozen=True)

    manifest: ModelManifest
    batch_size: int = Field(ge=1)
    max_images: int = Field(ge=1)
    runtime: Runtime


class RemoteEmbedder:
    """A model that an embedder service serves. Implements :class:`lookalike.embedding.port.Embedder`.

    Connections are kept and shared by all threads. A request that found no answer (refused, reset, timed out,
    or 429, 502, 503, 504) is sent again, up to three times in all: embedding changes nothing on the server. The id of
    the request that is being answered and its trace go with it.

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
        self._sleep = sleep
        self._batch_size = batch_size
        self._path = f"/v1/models/{quote(model, safe='')}"
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise InvalidRequest(f"not the URL of an embedder: {url!r:.200}", url=url[:200]) from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise InvalidRequest(f"the URL of an embedder starts with http://HOST, not {url!r:.200}", url=url[:200])
        self._client = httpx.Client(base_url=parsed, timeout=timeout_s, follow_redirects=False)
        self._url = str(parsed.copy_with(userinfo=b""))  # for messages, which hold no password
        try:
            self._model = self._describe(model, digest)
        except BaseException:
            self._client.close()
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
        self._client.close()

    def _describe(self, model: str, digest: str | None) -> RemoteModel:
        headers = {} if digest is None else {"If-Match": f'"{digest}"'}
        response = self._request("GET", self._path, headers=headers)
        if response.status_code == 404:
            raise ModelNotFound(f"{self._url} serves no model {model!r:.100}", model=model[:100])
        if response.status_code == 412:
            raise self._unavailable(f"serves another {model!r:.100} than the one with digest {digest}")
        if response.status_code != 200:
            raise self._unavailable(f"answered {response.status_code}")
        try:
            described = RemoteModel.model_validate_json(response.content)
        except ValidationError as error:
            raise self._unavailable("is no embedder of this version") from error
        if digest is not None and described.manifest.digest != digest:
            raise self._unavailable(
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
        response = self._request("POST", f"{self._path}/embeddings", content=body, headers=headers)
        if response.status_code in (404, 412):
            raise self._unavailable(f"no longer serves {self.manifest.name} with digest {self.manifest.digest[:12]}")
        if response.status_code != 200:
            raise self._unavailable(f"answered {response.status_code}")
        expected = (len(images_NHWC), self.manifest.dimension)
        if response.headers.get(SHAPE_HEADER) != f"{expected[0]},{expected[1]}" or (
            len(response.content) != 4 * expected[0] * expected[1]
        ):
            raise self._unavailable("answered with embeddings of another shape")
        return np.frombuffer(response.content, "<f4").reshape(expected)

    def _request(self, method: str, path: str, *, headers: Mapping[str, str], content: bytes = b"") -> httpx.Response:
        with tracing.span(f"embedder {method}", {"http.request.method": method}, kind=tracing.SpanKind.CLIENT):
            return self._answer(method, path, {**headers, **_about_the_caller()}, content)

    def _answer(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> httpx.Response:
        reason = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1))
            try:
                response = self._client.request(method, path, headers=headers, content=content)
            except httpx.TransportError as error:
                reason = f"does not answer: {type(error).__name__}: {error}"
                continue
            if response.status_code not in _RETRIED_STATUS:
                return response
            reason = f"answered {response.status_code}"
        raise self._unavailable(reason)

    def _unavailable(self, reason: str) -> DependencyUnavailable:
        return DependencyUnavailable(f"the embedder at {self._url} {reason}"[:500], dependency="embedder")


def _about_the_caller() -> dict[str, str]:
    """The headers by which the server's log and spans are found together with the caller's."""
    request_id = current().get("request_id")
    return {**tracing.inject(), **({} if request_id is None else {REQUEST_ID_HEADER: request_id})}
