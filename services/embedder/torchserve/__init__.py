"""TorchServe: the handler that runs in its workers, and the process that supervises it.

Every model archive names :func:`handle`, so that it stays where it is. Nothing else is imported here: TorchServe's
workers need the handler alone, the supervisor no torch.
"""

from typing import Any


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[bytes] | None:
    """TorchServe's entry point; see :func:`services.embedder.torchserve.handler.handle_requests`."""
    from services.embedder.torchserve.handler import handle_requests

    return handle_requests(data, context)
