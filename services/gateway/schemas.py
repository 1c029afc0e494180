"""The OpenAPI document of the application, with the schemas that no endpoint's signature names."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from lookalike.pipeline.job_kinds import PARAMS
from lookalike.types.search import SearchRequest
from services.gateway.access_rules import RULES
from services.gateway.problem import Problem
from services.gateway.routes.search import CompareRequest

_TEMPLATE = "#/components/schemas/{model}"
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, where keys are on"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "the same in another header"},
}


def install(app: FastAPI) -> None:
    """Makes ``app.openapi()`` answer with the whole document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            named = [(model, "validation") for model in (SearchRequest, CompareRequest, Problem, *PARAMS.values())]
            _, definitions = models_json_schema(named, ref_template=_TEMPLATE)  # type: ignore[arg-type]
            schemas = made["components"]["schemas"]
            for name, schema in definitions["$defs"].items():
                schemas.setdefault(name, schema)
            _secure(made)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # as FastAPI's documentation has it


def _secure(document: dict[str, Any]) -> None:
    """Says at each operation whether it needs a key, and in ``x-scope`` what the key must be for."""
    document["components"]["securitySchemes"] = _SCHEMES
    for path, item in document["paths"].items():
        for method, operation in item.items():
            rule = RULES[method.upper(), path]
            operation["security"] = [] if rule.scope is None else [{name: []} for name in _SCHEMES]
            if rule.scope is not None:
                operation["x-scope"] = rule.scope.value
