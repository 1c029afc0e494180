"""The OpenAPI document of the application, with the schemas that no endpoint's signature names."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from lookalike.pipeline.job_kinds import PARAMS
from lookalike.types.search import SearchRequest
from services.gateway.problem import Problem
from services.gateway.routes.search import CompareRequest

_TEMPLATE = "#/components/schemas/{model}"


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
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # as FastAPI's documentation has it
