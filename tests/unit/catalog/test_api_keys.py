"""API keys in the store: what is kept, what is not, and what a key is good for."""

import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.catalog.api_keys import MAX_NAME_CHARS, ApiKeys
from lookalike.errors import InvalidRequest, KeyNotFound
from lookalike.storage.local import LocalStore
from lookalike.types.api_keys import Scope, digest, new_key, parse_credential, session_token

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def keys(tmp_path: Path) -> ApiKeys:
    return ApiKeys(LocalStore(tmp_path / "store"), now=lambda: NOW)


def test_nothing_in_the_store_is_the_key_or_its_session_token(keys: ApiKeys, tmp_path: Path) -> None:
    made, text = keys.create("somebody", Scope.WRITE)
    found = re.fullmatch(r"lk_([0-9a-f]{12})_([0-9a-f]{64})", text)
    assert found is not None
    assert found[1] == made.key_id
    [file] = (tmp_path / "store").glob("access/keys/*.json")
    assert file.stem == made.key_id
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file():
            kept = path.read_text(encoding="utf-8", errors="replace")
            assert found[2] not in kept
            assert session_token(text)[16:] not in kept
    assert made.sha256 == digest(text)
    assert made.session_sha256 == digest(session_token(text))
    assert keys.get(made.key_id) == made


def test_keys_are_of_256_bits_and_never_the_same() -> None:
    made = [new_key() for _ in range(1000)]
    assert len({key_id for key_id, _ in made}) == len({text for _, text in made}) == 1000
    secrets = [int(text[16:], 16) for _, text in made]
    # Each bit is set in about half of them: 1000 coins miss by 200 once in 10**35.
    for bit in range(256):
        assert 300 < sum(secret >> bit & 1 for secret in secrets) < 700


def test_a_key_counts_until_it_expires_or_is_revoked(keys: ApiKeys) -> None:
    made, _ = keys.create("short", Scope.READ, expires_at=NOW + timedelta(hours=1))
    assert made.refusal(NOW) is None
    assert made.refusal(NOW + timedelta(minutes=59)) is None
    assert "expired" in (made.refusal(NOW + timedelta(hours=1)) or "")
    revoked = keys.revoke(made.key_id)
    assert "revoked" in (revoked.refusal(NOW) or "")
    assert keys.revoke(made.key_id) == revoked
    assert [key.key_id for key in keys.list()] == [made.key_id]


def test_what_makes_no_sense_is_refused(keys: ApiKeys) -> None:
    assert not keys.any()
    for name in ("", "  ", "x" * (MAX_NAME_CHARS + 1), "a\nb"):
        with pytest.raises(InvalidRequest):
            keys.create(name, Scope.READ)
    with pytest.raises(InvalidRequest, match="past"):
        keys.create("late", Scope.READ, expires_at=NOW)
    for key_id in ("0123456789ab", "../../galleries/x", "", "x" * 300):
        with pytest.raises(KeyNotFound):
            keys.get(key_id)
        with pytest.raises(KeyNotFound):
            keys.revoke(key_id)
        assert keys.find(key_id) is None
    assert not keys.any()


def test_two_that_revoke_at_once_both_succeed(keys: ApiKeys) -> None:
    made, _ = keys.create("raced", Scope.READ)
    revoked: list[bool] = []
    threads = [
        threading.Thread(target=lambda: revoked.append(keys.revoke(made.key_id).revoked_at is not None))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert revoked == [True] * 8


def test_scopes_include_those_before() -> None:
    order = [Scope.READ, Scope.WRITE, Scope.ADMIN]
    for has in order:
        for needs in order:
            assert has.includes(needs) == (order.index(has) >= order.index(needs))


@given(st.text(max_size=100))
def test_what_is_no_key_by_its_form_is_none(text: str) -> None:
    assert parse_credential(text) is None or re.fullmatch(r"l[ks]_[0-9a-f]{12}_[0-9a-f]{64}", text)


def test_a_session_token_is_the_keys_own_and_does_not_tell_it() -> None:
    key_id, text = new_key()
    token = session_token(text)
    assert token == session_token(text)
    said = parse_credential(token)
    assert said is not None
    assert (said.key_id, said.is_session) == (key_id, True)
    assert token[16:] != text[16:]
    assert session_token(text[:-1] + ("0" if text[-1] != "0" else "1")) != token
