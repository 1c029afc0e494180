"""``/docs``: the OpenAPI document as a page of our own. The usual one loads its script from somewhere else."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from services.gateway.headers import PAGE_POLICY
from services.gateway.web_page import STYLE

_METHODS = ("get", "post", "put", "patch", "delete")


def install(app: FastAPI) -> None:
    """Adds ``/docs`` to ``app``."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(render(app.openapi()), headers={"Content-Security-Policy": PAGE_POLICY})


def render(document: Mapping[str, Any]) -> str:
    """Every endpoint with its parameters, body and answers, and every schema."""
    info = document["info"]
    operations = "".join(
        _operation(method, path, item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    )
    schemas = "".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="stylesheet" href="{STYLE}">'
        f'</head><body class="docs"><main><h1>{escape(info["title"])} {escape(info["version"])}</h1>'
        f'<p>{escape(info.get("description", ""))}</p><p><a href="/">Search page</a> · '
        f'<a href="/openapi.json">OpenAPI document</a></p><h2>Endpoints</h2>{operations}'
        f"<h2>Schemas</h2>{schemas}</main></body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    rows = "".join(
        _row(parameter["name"], f"{parameter['in']}: {_type(parameter['schema'])}", parameter.get("description", ""))
        for parameter in operation.get("parameters", ())
    )
    bodies = operation.get("requestBody", {}).get("content", {})
    rows += "".join(_row("body", f"{kind}: {_type(said['schema'])}", "") for kind, said in bodies.items())
    for status, answer in operation["responses"].items():
        kinds = ", ".join(
            f"{kind}: {_type(said.get('schema', {}))}" for kind, said in answer.get("content", {}).items()
        )
        rows += _row(status, kinds, answer.get("description", ""))
    said = escape(operation.get("description", operation.get("summary", "")))
    if "x-scope" in operation:
        rows = _row("key", f"for {operation['x-scope']}, where keys are on", "") + rows
    return (
        f"<details><summary><code><b>{method.upper()}</b> {escape(path)}</code> {escape(operation.get('summary', ''))}"
        f"</summary><p>{said}</p><table>{rows}</table></details>"
    )


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        _row(field + ("" if field in required else "?"), _type(said), said.get("description", ""))
        for field, said in schema.get("properties", {}).items()
    )
    said = escape(schema.get("description", ""))
    return (
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary><p>{said}</p>'
        f"<table>{rows}</table></details>"
    )


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(_type(one) for one in schema[several]))
    if schema.get("type") == "array":
        return f"[{_type(schema.get('items', {}))}]"
    return ", ".join([str(schema.get("format", schema.get("type", "any"))), *_limits(schema)])


def _limits(schema: Mapping[str, Any]) -> Iterator[str]:
    names = {"minimum": ">=", "maximum": "<=", "minLength": "length >=", "maxLength": "length <=", "default": "default"}
    for name, sign in names.items():
        if name in schema:
            yield f"{sign} {schema[name]}"
    if "enum" in schema:
        yield "one of " + ", ".join(map(str, schema["enum"]))
