"""The route of every endpoint: who may call it is settled before its body is read."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response

from lookalike.errors import KeyMissing, KeyRefused, RateLimited, ScopeMissing
from lookalike.telemetry.context import bound
from lookalike.telemetry.declared import REFUSED
from services.gateway.access_rules import rule_of
from services.gateway.json_body import StrictRoute

_REFUSALS = (KeyMissing, KeyRefused, ScopeMissing, RateLimited)


class GuardedRoute(StrictRoute):
    """A route that has a rule; without one it cannot be made."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle, rule = super().get_route_handler(), rule_of(self.methods, self.path)

        async def guarded(request: Request) -> Response:
            gateway = request.app.state.gateway
            access = gateway.access
            if access is None:
                return await handle(request)
            try:
                await access.admit(request, rule)
                with bound(key_id=getattr(request.state, "key_id", None)):
                    return await handle(request)
            except _REFUSALS as error:
                gateway.metrics.recorder.count(REFUSED, code=error.code)
                raise

        return guarded
