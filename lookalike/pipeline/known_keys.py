"""Whose key is this? Answered from memory, which the store refreshes beside the requests.

What was read of the store is believed for :data:`FRESH_S`. The next request after that has it read again, and waits a
moment for it: while the store answers, a revoked key is refused within ten seconds. While it does not, keys that are
known go on, for up to :data:`KEEP_S`: without the store nothing can be revoked either, and what is open is still
searched. A key that nobody knows cannot be judged then, which is DependencyUnavailable: neither right nor wrong.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias, TypeVar

from lookalike.catalog.api_keys import ApiKey
from lookalike.errors import DependencyUnavailable, KeyRefused, LookalikeError
from lookalike.types.api_keys import Credential, Scope, digest, is_same, parse_credential, session_token

FRESH_S = 5.0
WAIT_S = 0.25  # for the store to say again what it said before
LOOK_S = 5.0  # for the store to say what nobody knows yet
KEEP_S = 24 * 3600.0
MAX_KNOWN, MAX_UNKNOWN = 20_000, 2_000  # the one that was read the longest ago goes
MAX_LOOKS = 64  # at once, of keys that nobody knows

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_Answer: TypeAlias = ApiKey | LookalikeError | None  # None: the store has none


@dataclass(frozen=True)
class Caller:
    """Who asks, and what for. ``requests_per_minute`` is the key's own; None: as for all."""

    key_id: str
    name: str
    scope: Scope
    requests_per_minute: int | None = None


BOOTSTRAP = Caller("bootstrap", "bootstrap", Scope.ADMIN)


@dataclass
class _Read:
    """What the store said of a key at ``at_s``, and the question that is under way since ``asked_s``."""

    key: ApiKey | None
    at_s: float
    asked_s: float
    asking: "Future[_Answer] | None" = None


class KnownKeys:
    """The keys of a store, and the bootstrap key, which is not in it. For one event loop.

    Args:
        find: reads a key of the store by its identifier, in a thread; raises DependencyUnavailable.
        bootstrap: the text of a key for everything.
        clock: seconds that never go back.
        now: the time of day.
    """

    def __init__(
        self,
        find: Callable[[str], ApiKey | None],
        bootstrap: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._find = find
        self._clock = clock
        self._now = now
        self._known: OrderedDict[str, _Read] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()  # when the store said so
        self._looks: dict[str, Future[_Answer]] = {}
        self._readers = ThreadPoolExecutor(4, thread_name_prefix="keys")
        self._bootstrap = None if bootstrap is None else (digest(bootstrap), digest(session_token(bootstrap)))

    async def caller(self, text: str, before_unknown: Callable[[], Awaitable[None]]) -> Caller:
        """Who shows ``text``, a key or a session token.

        ``before_unknown`` is awaited before anything is done for a text that is not known to be right; what it raises
        ends it. Raises KeyRefused, and DependencyUnavailable where the store has to be asked and does not answer.
        """
        if self._bootstrap is not None:
            shown = digest(text)
            as_key, as_session = (is_same(shown, one) for one in self._bootstrap)
            if as_key or as_session:
                return BOOTSTRAP if as_key else _reading(BOOTSTRAP)
        credential = parse_credential(text)
        read = None if credential is None else self._known.get(credential.key_id)
        if credential is None or read is None or not _matches(read.key, credential):
            await before_unknown()
        if credential is None:
            raise KeyRefused("that is no API key: one is lk_ and 77 characters more")
        key = await (self._look(credential.key_id) if read is None else self._again(credential.key_id, read))
        return self._judged(key, credential)

    def forget(self, key_id: str) -> None:
        """The next request with this key asks the store."""
        self._known.pop(key_id, None)

    def close(self) -> None:
        """What is being read is no longer waited for."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    def _judged(self, key: ApiKey | None, credential: Credential) -> Caller:
        if key is None or not _matches(key, credential):
            raise KeyRefused("nobody has this API key here")
        refusal = key.refusal(self._now())
        if refusal is not None:
            raise KeyRefused(f"key {key.key_id} {refusal}", key_id=key.key_id)
        caller = Caller(key.key_id, key.name, key.scope, key.requests_per_minute)
        return _reading(caller) if credential.is_session else caller

    async def _again(self, key_id: str, read: _Read) -> ApiKey | None:
        """What is known, after a look at the store where it is not fresh."""
        now_s = self._clock()
        _take_in(read)
        if read.asking is None and now_s - max(read.at_s, read.asked_s) >= FRESH_S:
            read.asked_s, read.asking = now_s, self._ask(key_id)
        if read.asking is not None:
            await _within(read.asking, WAIT_S - (now_s - read.asked_s))
            _take_in(read)
        if now_s - read.at_s > KEEP_S:
            raise DependencyUnavailable("the store has not said for too long whether this key counts")
        return read.key

    async def _look(self, key_id: str) -> ApiKey | None:
        """What the store says of a key that nobody knows."""
        now_s = self._clock()
        if now_s - self._unknown.get(key_id, -FRESH_S) < FRESH_S:
            return None
        asking = self._looks.get(key_id)
        if asking is None:
            if len(self._looks) >= MAX_LOOKS:
                raise DependencyUnavailable("too many unknown keys are being looked up; try again", dependency="store")
            asking = self._looks[key_id] = self._ask(key_id)
            asking.add_done_callback(lambda _: self._looks.pop(key_id, None))
        await _within(asking, LOOK_S)
        if not asking.done():
            raise DependencyUnavailable("the store does not say whether this key counts", dependency="store")
        answer = asking.result()
        if isinstance(answer, LookalikeError):
            raise answer
        if answer is None:
            _keep(self._unknown, key_id, now_s, MAX_UNKNOWN)
        else:
            _keep(self._known, key_id, _Read(answer, now_s, now_s), MAX_KNOWN)
        return answer

    def _ask(self, key_id: str) -> "Future[_Answer]":
        return self._readers.submit(self._answer, key_id)

    def _answer(self, key_id: str) -> _Answer:
        try:
            return self._find(key_id)
        except LookalikeError as error:
            return error


def _take_in(read: _Read) -> None:
    """The answer, where there is one; it is as old as the question."""
    if read.asking is None or not read.asking.done():
        return
    answer, read.asking = read.asking.result(), None
    if isinstance(answer, LookalikeError):
        _log.warning("a key cannot be read again and goes on as it was: %s", answer.message)
    else:
        read.key, read.at_s = answer, read.asked_s


def _matches(key: ApiKey | None, credential: Credential) -> bool:
    if key is None:
        return False
    return is_same(credential.sha256, key.session_sha256 if credential.is_session else key.sha256)


def _reading(caller: Caller) -> Caller:
    return Caller(caller.key_id, caller.name, Scope.READ, caller.requests_per_minute)


async def _within(asking: "Future[_Answer]", timeout_s: float) -> None:
    """Waits for the answer, no longer than that."""
    if not asking.done() and timeout_s > 0:
        await asyncio.wait([asyncio.wrap_future(asking)], timeout=timeout_s)


def _keep(kept: "OrderedDict[str, _T]", key_id: str, value: "_T", most: int) -> None:
    kept[key_id] = value
    kept.move_to_end(key_id)
    if len(kept) > most:
        kept.popitem(last=False)
