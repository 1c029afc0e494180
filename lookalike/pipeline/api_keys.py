"""Making, listing and revoking API keys, for the command line and over HTTP."""

import re
from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from lookalike.catalog.api_keys import ApiKey
from lookalike.errors import InvalidRequest
from lookalike.pipeline.workspace import Workspace
from lookalike.types.api_keys import Scope

MAX_REQUESTS_PER_MINUTE = 1_000_000
MAX_DAYS = 3650
_UNITS = {"h": 1 / 24, "d": 1, "w": 7, "y": 365}
_LASTING = re.compile(r"([0-9]{1,5})([hdwy])")


class KeyInfo(BaseModel):
    """A key as it is shown: without its hash."""

    model_config = ConfigDict(frozen=True)

    key_id: str
    name: str
    scope: Scope
    state: Literal["active", "expired", "revoked"]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = Field(description="null: it does not expire")
    requests_per_minute: int | None = Field(description="null: as the setting access.requests_per_minute says")
    revoked_at: AwareDatetime | None


class CreatedKey(BaseModel):
    """A new key. ``key`` is its text, shown this once: only a hash of it is kept."""

    model_config = ConfigDict(frozen=True)

    key: str
    info: KeyInfo


def create_key(
    workspace: Workspace,
    name: str,
    scope: Scope,
    *,
    expires_in_s: float | None = None,
    requests_per_minute: int | None = None,
) -> CreatedKey:
    """A new key. Raises InvalidRequest for a name, a time or a rate that makes no sense."""
    if requests_per_minute is not None and not 1 <= requests_per_minute <= MAX_REQUESTS_PER_MINUTE:
        raise InvalidRequest(f"requests_per_minute is 1 to {MAX_REQUESTS_PER_MINUTE}")
    if expires_in_s is not None and not 0 < expires_in_s <= MAX_DAYS * 86400:
        raise InvalidRequest(f"a key expires within {MAX_DAYS} days, or never")
    expires_at = None if expires_in_s is None else datetime.now(UTC) + timedelta(seconds=expires_in_s)
    made, text = workspace.api_keys.create(name, scope, expires_at=expires_at, requests_per_minute=requests_per_minute)
    return CreatedKey(key=text, info=shown(made))


def list_keys(workspace: Workspace) -> list[KeyInfo]:
    """All keys, also those that count no more, the newest first."""
    return [shown(key) for key in workspace.api_keys.list()]


def revoke_key(workspace: Workspace, key_id: str) -> KeyInfo:
    """The key counts no more, within seconds, in every gateway. Raises KeyNotFound."""
    return shown(workspace.api_keys.revoke(key_id))


def parse_lasting(text: str) -> float:
    """``12h``, ``30d``, ``6w``, ``1y`` in seconds. Raises InvalidRequest."""
    found = _LASTING.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"not a time: {text!r:.50} (a number and h, d, w or y: 90d)")
    return int(found[1]) * _UNITS[found[2]] * 86400


def shown(key: ApiKey) -> KeyInfo:
    """``key`` without its hash."""
    reason = key.refusal(datetime.now(UTC))
    state: Literal["active", "expired", "revoked"] = "active"
    if reason is not None:
        state = "expired" if key.revoked_at is None else "revoked"
    return KeyInfo(**key.model_dump(exclude={"sha256", "session_sha256"}), state=state)
