"""TorchServe as the front sees it: requests go there with its key, and what it answers comes back in our words."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from lookalike.errors import LookalikeError, ModelNotFound, ServerBusy
from services.embedder.problems import PROBLEM_TYPE
from services.embedder.torchserve.keys import Keys

_CONNECT_S = 5.0
_ANSWER_S = 180.0  # TorchServe itself gives up on a worker after 120 s
# What goes there: how the body is to be read and the answer written, and no key of a client's.
_SENT = ("content-type", "accept", "lookalike-shape", "lookalike-describe")
_RETURNED = ("content-type", "lookalike-shape", "lookalike-model", "lookalike-failed")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Returned:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Upstream:
    """Connections to TorchServe's inference API, kept open; for one event loop. Without keys it is not there."""

    def __init__(self, url: str, *, connections: int) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        timeout = httpx.Timeout(_ANSWER_S, connect=_CONNECT_S, pool=_ANSWER_S)
        self._client = httpx.AsyncClient(base_url=url, limits=limits, timeout=timeout, trust_env=False)
        self.keys: Keys | None = None

    async def close(self) -> None:
        await self._client.aclose()

    async def answers(self) -> bool:
        """Whether TorchServe answers its own ping."""
        if self.keys is None:
            return False
        try:
            response = await self._client.get("/ping", headers=_authorised(self.keys), timeout=_CONNECT_S)
        except httpx.HTTPError:
            return False
        return response.status_code == 200

    async def predict(self, name: str, headers: Mapping[str, str], body: bytes) -> Returned:
        """Raises ModelNotFound where TorchServe serves no such model, ServerBusy for what may pass, LookalikeError."""
        if self.keys is None:
            raise ServerBusy("TorchServe is starting")
        sent = {key: value for key, value in headers.items() if key in _SENT}
        try:
            response = await self._client.post(
                f"/predictions/{name}", headers={**sent, **_authorised(self.keys)}, content=body
            )
        except httpx.HTTPError as error:
            raise ServerBusy(f"TorchServe does not answer: {type(error).__name__}") from error
        kind = response.headers.get("content-type", "")
        if response.status_code == 200 or kind == PROBLEM_TYPE:
            returned = {key: response.headers[key] for key in _RETURNED if key in response.headers}
            return Returned(response.status_code, returned, response.content)
        raise _error(name, response)


def _authorised(keys: Keys) -> dict[str, str]:
    return {"Authorization": f"Bearer {keys.inference}"}


def _error(name: str, response: httpx.Response) -> LookalikeError:
    """TorchServe's own errors: its status, and the name of a Java class in JSON."""
    try:
        said = json.loads(response.content)
        kind, message = str(said.get("type")), str(said.get("message"))
    except (ValueError, AttributeError):
        kind, message = "unknown", ""
    if kind in ("ModelNotFoundException", "ModelVersionNotFoundException"):
        return ModelNotFound(f"no model {name!r} is served here", model=name)
    if kind == "ServiceUnavailableException" or response.status_code in (429, 503):
        return ServerBusy("TorchServe has no room for a further request of this model, or no worker of it yet")
    if kind == "InvalidKeyException" or "Worker died" in message:
        # Another TorchServe than a moment ago, or a worker that is being started again.
        return ServerBusy("TorchServe, or its worker, is being started again")
    _log.warning("TorchServe answered %d for %s: %s: %s", response.status_code, name, kind, message[:300])
    return LookalikeError(f"TorchServe answered {response.status_code} ({kind})"[:200])
