"""Who asks, whether they may, and how often."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import anyio.from_thread
from fastapi import Depends, Request

from lookalike.errors import KeyMissing, KeyRefused, RateLimited, ScopeMissing
from lookalike.limiting.bucket import Limit, Taken
from lookalike.limiting.port import Limiter
from lookalike.pipeline.known_keys import Caller, KnownKeys
from lookalike.types.api_keys import Scope, is_session_token
from services.gateway.access_rules import Rule
from services.gateway.client_address import Network, client_address
from services.gateway.cross_origin import is_from_elsewhere

ANSWER_HEADERS = "answer_headers"  # in the state of a request: what headers.BrowserRules adds to its answer
SESSION_COOKIE = "lookalike_session"
_log = logging.getLogger(__name__)
_ANYONE = Caller("", "", Scope.ADMIN)


@dataclass(frozen=True)
class Asking:
    """One request's caller, for endpoints whose need or cost depends on what is asked."""

    caller: Caller = _ANYONE
    access: "Access | None" = None
    bucket: str = ""
    limit: Limit = Limit(1, 1)

    def require(self, scope: Scope) -> None:
        """Raises ScopeMissing."""
        if not self.caller.scope.includes(scope):
            raise ScopeMissing(
                f"this needs a key for {scope}, and {self.caller.name!r} is one for {self.caller.scope}", scope=scope
            )

    async def charge(self, extra: int) -> None:
        """Takes ``extra`` tokens more than the endpoint's cost, before the work; a bucket may owe them."""
        if self.access is not None and extra > 0:
            await self.access.limiter.spend(self.bucket, self.limit, float(extra))

    def charge_here(self, extra: int) -> None:
        """As :meth:`charge`, in an endpoint that runs in a thread."""
        if self.access is not None and extra > 0:
            anyio.from_thread.run(self.charge, extra)


class Access:
    """The door of one application whose keys are on.

    Args:
        keys: whose key is whose.
        limiter: counts the requests of each key, and of each address without one.
        requests_per_minute: of a key that says nothing else, and of an address.
        burst_s: how many seconds of that may be used at once.
        trusted_proxies: those whose X-Forwarded-For is believed.
        open_metrics: whether /metrics needs no key.
        secure_cookie: the cookie of the search page goes over HTTPS only.
    """

    def __init__(
        self,
        keys: KnownKeys,
        limiter: Limiter,
        *,
        requests_per_minute: int,
        burst_s: float,
        trusted_proxies: Sequence[Network] = (),
        open_metrics: bool = True,
        secure_cookie: bool = False,
    ) -> None:
        self.keys = keys
        self.limiter = limiter
        self._per_minute = requests_per_minute
        self._burst_s = burst_s
        self._limits: dict[int, Limit] = {}  # as many as keys have limits of their own
        self._trusted = tuple(trusted_proxies)
        self._open_metrics = open_metrics
        self.secure_cookie = secure_cookie
        # With the prefix a browser takes it only over HTTPS and from this very host.
        self.cookie = f"__Host-{SESSION_COOKIE}" if secure_cookie else SESSION_COOKIE

    async def admit(self, request: Request, rule: Rule) -> None:
        """Lets the request through, with its :class:`Asking` in its state.

        Raises KeyMissing, KeyRefused, ScopeMissing, RateLimited, and DependencyUnavailable for a key that nobody knows
        while the store is away.
        """
        if rule.scope is None or (rule.is_metrics and self._open_metrics):
            return
        shown = shown_key(request, self.cookie)
        if shown is None:
            await self._charge_address(request)
            raise KeyMissing("this needs an API key: Authorization: Bearer lk_… (lookalike keys create makes one)")
        caller = await self.caller(request, shown)
        request.state.key_id = caller.key_id
        limit, bucket = self._limit(caller.requests_per_minute), f"key:{caller.key_id}"
        if rule.cost:
            self._tell(request, limit, await self.limiter.take(bucket, limit, rule.cost))
        asking = Asking(caller, self, bucket, limit)
        request.state.asking = asking
        asking.require(rule.scope)

    async def caller(self, request: Request, shown: str) -> Caller:
        """Whose key ``shown`` is. Raises as :meth:`admit`; what is refused counts for the address."""
        is_counted = False

        async def count() -> None:
            nonlocal is_counted
            is_counted = True
            await self._charge_address(request)

        try:
            return await self.keys.caller(shown, count)
        except KeyRefused as error:
            _log.info("a key was refused, from %s: %s", self._address(request), error.message)
            if not is_counted:  # a key that was right once
                await count()
            raise

    async def close(self) -> None:
        """Nothing is asked after it."""
        self.keys.close()
        await self.limiter.close()

    def _limit(self, requests_per_minute: int | None) -> Limit:
        per_minute = requests_per_minute or self._per_minute
        found = self._limits.get(per_minute)
        if found is None:
            per_s = per_minute / 60
            found = self._limits[per_minute] = Limit(per_s, max(1.0, per_s * self._burst_s))
        return found

    async def _charge_address(self, request: Request) -> None:
        limit = self._limit(None)
        self._tell(request, limit, await self.limiter.take(f"address:{self._address(request)}", limit, 1.0))

    def _address(self, request: Request) -> str:
        peer = None if request.client is None else request.client.host
        forwarded_for = ", ".join(request.headers.getlist("x-forwarded-for"))  # a proxy may add a line of its own
        return client_address(peer, forwarded_for, self._trusted)

    def _tell(self, request: Request, limit: Limit, taken: Taken) -> None:
        """The headers of draft-ietf-httpapi-ratelimit-headers-10. Raises RateLimited."""
        until_full_s = math.ceil((limit.burst - taken.remaining) / limit.per_s)
        headers = [
            (b"cache-control", b"private, no-cache"),  # no proxy gives it to somebody with another key, or none
            (b"ratelimit-policy", b'"default";q=%d;w=%d' % (limit.burst, math.ceil(limit.burst / limit.per_s))),
            (b"ratelimit", b'"default";r=%d;t=%d' % (max(0.0, taken.remaining), max(0, until_full_s))),
        ]
        setattr(request.state, ANSWER_HEADERS, headers)
        if not taken.is_admitted:
            after_s = max(1, math.ceil(taken.retry_after_s))
            raise RateLimited(f"too many requests; there is room again in {after_s} s", retry_after_s=after_s)


def shown_key(request: Request, cookie: str) -> str | None:
    """What a request shows: ``Authorization: Bearer``, ``X-API-Key``, or the cookie of the search page.

    The cookie is a session token, which counts for reading only, and never in a request that another site made.
    """
    said: Mapping[bytes, bytes] = dict(request.scope["headers"])
    scheme, _, token = said.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and token.strip():
        return token.strip().decode("latin-1")
    if b"x-api-key" in said:
        return said[b"x-api-key"].strip().decode("latin-1")
    if b"cookie" not in said or is_from_elsewhere(request.headers):
        return None
    found = request.cookies.get(cookie)
    return found if found is not None and is_session_token(found) else None


def _asking(request: Request) -> Asking:
    found = getattr(request.state, "asking", None)
    return found if isinstance(found, Asking) else Asking()


Asker = Annotated[Asking, Depends(_asking)]
