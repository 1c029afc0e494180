"""Request bodies of JSON, read strictly: what Python's own reader lets through would fail later, as our fault."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json


class StrictRequest(Request):
    """Refuses half surrogate pairs and nesting beyond what is sensible, which ``json.loads`` accepts or dies of."""

    async def json(self) -> Any:
        body = await self.body()
        try:
            return from_json(body)
        except ValueError as error:
            raise json.JSONDecodeError(str(error), body[:100].decode("utf-8", "replace"), 0) from error


class StrictRoute(APIRoute):
    """A route whose JSON bodies are read by :class:`StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict
