"""Models and backends: what a query can choose."""

from fastapi import APIRouter

from lookalike.pipeline.backends import BackendDescription, describe_backends
from lookalike.types.models import ModelManifest
from services.gateway.guarded_route import GuardedRoute
from services.gateway.state import At

router = APIRouter(prefix="/v1", route_class=GuardedRoute)


@router.get("/models", tags=["models"])
def list_models(at: At) -> list[ModelManifest]:
    """Every version of every model."""
    return list(at.models.list())


@router.get("/models/{model}", tags=["models"])
def get_model(model: str, at: At) -> ModelManifest:
    """``name`` (its newest version) or ``name@version``."""
    return at.models.get(model)


@router.get("/backends", tags=["backends"])
def list_backends(at: At) -> list[BackendDescription]:
    """Capabilities, metrics, and parameters with their ranges and defaults; also of those that are not installed."""
    return describe_backends(at.backend, at.backend_names)
