"""Keys answered from memory: how soon a revocation counts, and what goes on while the store is away."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lookalike.catalog.api_keys import ApiKey, ApiKeys
from lookalike.errors import DependencyUnavailable, KeyRefused
from lookalike.pipeline.known_keys import BOOTSTRAP, FRESH_S, KEEP_S, MAX_LOOKS, WAIT_S, Caller, KnownKeys
from lookalike.storage.local import LocalStore
from lookalike.types.api_keys import Scope, new_key, session_token

PROMISED_S = 10.0  # within this a revoked key is refused: docs/how-to/secure-a-deployment.md
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
Ask = Callable[[str], Awaitable[Caller]]


class World:
    """A store that can be away, a clock that a test moves, and who asks."""

    def __init__(self, folder: Path, bootstrap: str | None = None) -> None:
        self.now_s = 0.0
        self.is_away = False
        self.hangs: threading.Event | None = None
        self.reads: list[str] = []
        self.counted = 0
        self.store = ApiKeys(LocalStore(folder), now=lambda: NOW)
        self.keys = KnownKeys(
            self.find, bootstrap, clock=lambda: self.now_s, now=lambda: NOW + timedelta(seconds=self.now_s)
        )

    def find(self, key_id: str) -> ApiKey | None:
        self.reads.append(key_id)
        found = self.store.find(key_id)
        if self.hangs is not None:
            self.hangs.wait(30)
        if self.is_away:
            raise DependencyUnavailable("the store does not answer", dependency="store")
        return found

    async def count(self) -> None:
        self.counted += 1

    async def ask(self, text: str) -> Caller:
        return await self.keys.caller(text, self.count)

    async def refused(self, text: str) -> str:
        with pytest.raises(KeyRefused) as refused:
            await self.ask(text)
        return refused.value.message


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "store")


def test_a_key_is_read_once_and_then_remembered(world: World) -> None:
    made, text = world.store.create("somebody", Scope.WRITE, requests_per_minute=7)

    async def ask() -> None:
        for _ in range(5):
            assert await world.ask(text) == Caller(made.key_id, "somebody", Scope.WRITE, 7)
            world.now_s += FRESH_S / 10
        assert world.reads == [made.key_id]
        assert world.counted == 1  # the first, which nobody knew
        session = await world.ask(session_token(text))
        assert (session.key_id, session.scope) == (made.key_id, Scope.READ)

    asyncio.run(ask())


def test_a_revocation_counts_within_what_is_promised(world: World) -> None:
    made, text = world.store.create("somebody", Scope.READ)

    async def ask() -> None:
        await world.ask(text)
        world.store.revoke(made.key_id)
        world.now_s += PROMISED_S
        assert "revoked" in await world.refused(text)
        assert "revoked" in await world.refused(session_token(text))

    asyncio.run(ask())
    assert FRESH_S < PROMISED_S


def test_a_key_that_expires_is_refused_at_that_moment_without_the_store(world: World) -> None:
    _, text = world.store.create("short", Scope.READ, expires_at=NOW + timedelta(seconds=FRESH_S / 2))

    async def ask() -> None:
        await world.ask(text)
        world.is_away = True
        world.now_s += FRESH_S / 2
        assert "expired" in await world.refused(text)

    asyncio.run(ask())


def test_while_the_store_is_away_known_keys_go_on_and_others_are_neither_right_nor_wrong(world: World) -> None:
    made, text = world.store.create("known", Scope.READ)
    _, other = world.store.create("unknown", Scope.READ)

    async def ask() -> None:
        await world.ask(text)
        world.is_away = True
        for _ in range(20):
            world.now_s += FRESH_S
            assert (await world.ask(text)).key_id == made.key_id
            with pytest.raises(DependencyUnavailable):
                await world.ask(other)
        assert "nobody has" in await world.refused(text[:-1] + ("0" if text[-1] != "0" else "1"))
        world.is_away = False
        assert (await world.ask(other)).name == "unknown"
        world.store.revoke(made.key_id)
        world.now_s += PROMISED_S
        assert "revoked" in await world.refused(text)

    asyncio.run(ask())


def test_a_store_that_hangs_delays_a_known_key_by_a_moment_and_only_once(world: World) -> None:
    _, text = world.store.create("known", Scope.READ)

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        await world.ask(text)
        world.hangs = threading.Event()
        world.now_s += FRESH_S
        started_s = loop.time()
        await world.ask(text)  # has it read again, and waits a moment
        assert WAIT_S / 2 < loop.time() - started_s < 5
        world.now_s += 1.0
        started_s = loop.time()
        for _ in range(20):
            await world.ask(text)
        assert loop.time() - started_s < 10 * WAIT_S  # 20 times as much where each waited
        assert len(world.reads) == 2  # one question at a time
        world.hangs.set()

    asyncio.run(ask())


def test_an_answer_that_nobody_waited_for_is_as_old_as_its_question(world: World) -> None:
    made, text = world.store.create("known", Scope.READ)

    async def ask() -> None:
        await world.ask(text)
        world.hangs = threading.Event()
        world.now_s += FRESH_S
        await world.ask(text)  # the store is asked, and says after this that the key counts
        hangs, world.hangs = world.hangs, None
        hangs.set()
        asking = world.keys._known[made.key_id].asking
        assert asking is not None
        asking.result(30)
        world.store.revoke(made.key_id)
        world.now_s += PROMISED_S
        assert "revoked" in await world.refused(text)

    asyncio.run(ask())


def test_not_for_ever(world: World) -> None:
    _, text = world.store.create("known", Scope.READ)

    async def ask() -> None:
        await world.ask(text)
        world.is_away = True
        world.now_s += KEEP_S + 1
        with pytest.raises(DependencyUnavailable):
            await world.ask(text)

    asyncio.run(ask())


def test_a_wrong_secret_of_a_known_key_never_reaches_the_store(world: World) -> None:
    made, text = world.store.create("known", Scope.ADMIN)

    async def ask() -> None:
        await world.ask(text)
        for number in range(16):
            await world.refused(f"lk_{made.key_id}_{number:064x}")
            await world.refused(f"ls_{made.key_id}_{number:064x}")
        # A key's text is not its session token, and the other way round.
        await world.refused(f"ls_{text[3:]}")
        await world.refused(f"lk_{session_token(text)[3:]}")
        assert world.reads == [made.key_id]
        assert world.counted == 1 + 32 + 2

    asyncio.run(ask())


def test_what_does_not_exist_is_remembered_too_and_each_try_is_counted(world: World) -> None:
    _, text = new_key()

    async def ask() -> None:
        for _ in range(10):
            await world.refused(text)
        assert len(world.reads) == 1
        assert world.counted == 10
        world.now_s += FRESH_S
        await world.refused(text)
        assert len(world.reads) == 2
        for nonsense in ("", "Bearer", "lk_", "lk_0_0", "é" * 80, "\x00"):
            await world.refused(nonsense)
        assert len(world.reads) == 2

    asyncio.run(ask())


def test_what_counting_raises_ends_it_before_the_store_is_asked(world: World) -> None:
    _, text = world.store.create("known", Scope.READ)

    async def enough() -> None:
        raise KeyRefused("enough")

    async def ask() -> None:
        with pytest.raises(KeyRefused, match="enough"):
            await world.keys.caller(text, enough)
        assert world.reads == []
        await world.ask(text)
        await world.keys.caller(text, enough)  # not of a key that is known

    asyncio.run(ask())


def test_many_unknown_keys_at_once_are_not_all_looked_up(world: World) -> None:
    async def ask() -> None:
        world.hangs = threading.Event()
        asked = [asyncio.create_task(world.ask(new_key()[1])) for _ in range(MAX_LOOKS + 5)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 5
        assert all(isinstance(task.exception(), DependencyUnavailable) for task in done)
        world.hangs.set()
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(one, KeyRefused) for one in ended) == MAX_LOOKS

    asyncio.run(ask())


def test_one_unknown_key_is_looked_up_once_however_many_ask(world: World) -> None:
    _, text = world.store.create("new", Scope.READ)

    async def ask() -> None:
        world.hangs = threading.Event()
        asked = [asyncio.create_task(world.ask(text)) for _ in range(20)]
        await asyncio.sleep(0)
        world.hangs.set()
        assert {caller.name for caller in await asyncio.gather(*asked)} == {"new"}
        assert len(world.reads) == 1

    asyncio.run(ask())


@pytest.mark.parametrize("bootstrap", ["a" * 32, new_key()[1]], ids=["any text", "a key's form"])
def test_the_bootstrap_key_needs_no_store(tmp_path: Path, bootstrap: str) -> None:
    world = World(tmp_path / "store", bootstrap)
    world.is_away = True

    async def ask() -> None:
        assert await world.ask(bootstrap) == BOOTSTRAP
        session = await world.ask(session_token(bootstrap))
        assert (session.key_id, session.scope) == ("bootstrap", Scope.READ)
        assert world.counted == 0
        assert world.reads == []
        await world.refused("a" * 31)

    asyncio.run(ask())
