"""A gateway whose keys are on, as ``services.gateway.doors`` makes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi.testclient import TestClient
from gateway_store import settings_of

from lookalike.bootstrap import wire, wire_jobs
from lookalike.pipeline.workspace import Workspace
from lookalike.types.api_keys import Scope
from services.gateway.app import create_app
from services.gateway.doors import make_access, web_rules

EVERYWHERE = "0.0.0.0"  # noqa: S104 # what it would listen on
BOOTSTRAP = "bootstrap-key-of-the-tests-0123456789"


@contextmanager
def gateway(
    folder: Path, listens_on: str = EVERYWHERE, peer: str = "203.0.113.1", **environment: str
) -> Iterator[TestClient]:
    """A client at the address ``peer`` of a gateway over the store in ``folder``, without a key of its own."""
    settings = settings_of(folder, **environment)
    workspace = wire(settings)
    access = make_access(settings, workspace, listens_on)
    app = create_app(
        workspace,
        wire_jobs(settings, workspace),
        max_body_bytes=settings.gateway.max_upload_bytes,
        access=access,
        web=web_rules(settings, listens_on, keys_on=access is not None),
    )
    with TestClient(app, client=(peer, 4711)) as client:
        yield client
    workspace.close()


def workspace_of(client: TestClient) -> Workspace:
    """The ports of that gateway."""
    found: Workspace = client.app.state.gateway.workspace  # type: ignore[attr-defined]
    return found


def key_for(client: TestClient, scope: Scope, **more: int) -> dict[str, str]:
    """The header with a new key."""
    _, text = workspace_of(client).api_keys.create(f"a {scope}", scope, **more)  # type: ignore[arg-type]
    return {"Authorization": f"Bearer {text}"}
