"""TorchServe's management API, version 0.12: which models it serves, with how many workers.

https://github.com/pytorch/serve/blob/v0.12.0/docs/management_api.md
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx

from lookalike.embedding.batching import Batching
from lookalike.errors import DependencyUnavailable
from lookalike.pipeline.served_models import Served

_TIMEOUT_S = 30.0
_READY = "READY"  # the other state, UNLOADING, is also that of a worker that starts


class Management:
    """A connection to the management API. Every method raises DependencyUnavailable for what does not work."""

    def __init__(self, url: str, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT_S, trust_env=False)

    def __enter__(self) -> "Management":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def served(self) -> dict[str, Served]:
        """Every model by its name."""
        names: list[str] = []
        following: str | None = "0"
        while following is not None:
            page = self._ask("GET", "/models", {"limit": "100", "next_page_token": following})
            names += [one["modelName"] for one in page["models"]]
            following = page.get("nextPageToken")
        return {name: self._describe(name) for name in names}

    def register(self, name: str, archive: str, *, workers: int, batching: Batching | None) -> None:
        """Serves the file ``archive`` of the model store; returns before its workers have started.

        What is said here comes before what the archive says, so for an archive that does ``batching`` is None.
        """
        about = {"url": archive, "model_name": name, "initial_workers": str(workers), "synchronous": "false"}
        if batching is not None:
            about |= {"batch_size": str(batching.requests), "max_batch_delay": str(batching.delay_ms)}
        self._ask("POST", "/models", about)

    def scale(self, name: str, workers: int) -> None:
        """Returns before the workers have started or ended."""
        self._ask("PUT", f"/models/{name}", {"min_worker": str(workers), "max_worker": str(workers)})

    def unregister(self, name: str) -> None:
        self._ask("DELETE", f"/models/{name}", {})

    def _describe(self, name: str) -> Served:
        (said,) = self._ask("GET", f"/models/{name}", {})
        states = [worker["status"] for worker in said["workers"]]
        return Served(workers=said["minWorkers"], alive=len(states), ready=states.count(_READY))

    def _ask(self, method: str, path: str, query: Mapping[str, str]) -> Any:
        try:
            response = self._client.request(method, path, params=query)
        except httpx.HTTPError as error:
            raise _unavailable(f"does not answer: {type(error).__name__}") from error
        if response.status_code >= 400:
            raise _unavailable(f"answered {response.status_code} to {method} {path}: {response.text[:200]}")
        return response.json()


def _unavailable(reason: str) -> DependencyUnavailable:
    return DependencyUnavailable(f"TorchServe's management API {reason}", dependency="torchserve")
