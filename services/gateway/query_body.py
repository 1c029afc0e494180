"""The two forms of a search: JSON, or multipart with the query image and the rest as JSON."""

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from lookalike.errors import InvalidFilter, InvalidRequest

R = TypeVar("R", bound=BaseModel)


def request_body(kind: str) -> dict[str, Any]:
    """How the OpenAPI document shows both forms of the model called ``kind``."""
    properties = {
        "image": {"type": "string", "format": "binary", "description": "the query image"},
        "request": {"type": "string", "description": f"the rest, a {kind} as JSON"},
    }
    form = {"type": "object", "required": ["image"], "properties": properties}
    as_json = {"schema": {"$ref": f"#/components/schemas/{kind}"}}
    content = {"application/json": as_json, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


async def read_query(request: Request, kind: type[R]) -> tuple[R, bytes | None]:
    """The request and the uploaded image of either form. Raises InvalidRequest, InvalidFilter."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        async with request.form(max_files=1, max_fields=8) as form:
            upload, said = form.get("image"), form.get("request", "{}")
            if not isinstance(upload, UploadFile) or not isinstance(said, str):
                raise InvalidRequest("multipart needs the file field image; request is a text field of JSON")
            return parse_query(kind, said.encode()), await upload.read()
    if content_type != "application/json":
        raise InvalidRequest("the body is application/json or multipart/form-data", content_type=content_type[:100])
    return parse_query(kind, await request.body()), None


def parse_query(kind: type[R], data: bytes) -> R:
    """Raises InvalidRequest, or InvalidFilter, naming what is wrong."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise named(error) from error


def named(error: ValidationError) -> InvalidRequest:
    """The first mistake of a search as an error of ours."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "request"
    kind = InvalidFilter if first["loc"][:1] == ("filter",) else InvalidRequest
    return kind(f"{where}: {first['msg']}")
