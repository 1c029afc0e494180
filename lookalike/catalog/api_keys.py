"""API keys in the store: ``access/keys/<id>.json`` for each, with a hash of its text and never the text."""

from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import AwareDatetime, Field

from lookalike.catalog import documents, keys
from lookalike.catalog.documents import Document
from lookalike.errors import AlreadyExists, InvalidRequest, KeyNotFound, ObjectNotFound
from lookalike.storage.port import ObjectStore
from lookalike.types.api_keys import Scope, digest, new_key, session_token

MAX_NAME_CHARS = 100


class ApiKey(Document):
    """One key. ``sha256`` is of its text, ``session_sha256`` of its session token; a revoked key stays listed."""

    key_id: str
    name: str
    scope: Scope
    sha256: str
    session_sha256: str
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    requests_per_minute: int | None = Field(default=None, ge=1)
    revoked_at: AwareDatetime | None = None

    def refusal(self, now: datetime) -> str | None:
        """Why the key counts no more; None while it does."""
        if self.revoked_at is not None:
            return "has been revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return f"expired at {self.expires_at.isoformat(timespec='seconds')}"
        return None


class ApiKeys:
    """The keys of one object store."""

    def __init__(self, store: ObjectStore, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now

    def create(
        self,
        name: str,
        scope: Scope,
        *,
        expires_at: datetime | None = None,
        requests_per_minute: int | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its text, which nobody can get again. Raises InvalidRequest for what makes no sense."""
        name = name.strip()
        if not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
            raise InvalidRequest(f"the name of a key has 1 to {MAX_NAME_CHARS} printable characters", name=name[:100])
        now = self._now()
        if expires_at is not None and expires_at <= now:
            raise InvalidRequest(f"a key cannot expire in the past: {expires_at.isoformat()}")
        key_id, text = new_key()
        made = ApiKey(
            key_id=key_id,
            name=name,
            scope=scope,
            sha256=digest(text),
            session_sha256=digest(session_token(text)),
            created_at=now,
            expires_at=expires_at,
            requests_per_minute=requests_per_minute,
        )

        def only_if_absent(present: ApiKey | None) -> ApiKey:
            if present is not None:
                raise AlreadyExists(f"there is a key {key_id} already", key_id=key_id)
            return made

        return documents.change(self._store, ApiKey, keys.access_key(key_id), only_if_absent), text

    def get(self, key_id: str) -> ApiKey:
        """Raises KeyNotFound."""
        try:
            return documents.read(self._store, ApiKey, keys.access_key(key_id))
        except (ObjectNotFound, InvalidRequest):
            raise KeyNotFound(f"there is no key {key_id!r:.100}", key_id=key_id[:100]) from None

    def find(self, key_id: str) -> ApiKey | None:
        """As :meth:`get`, None where there is none."""
        try:
            return self.get(key_id)
        except KeyNotFound:
            return None

    def list(self) -> list[ApiKey]:
        """All of them, also those that count no more, the newest first."""
        found = [documents.read(self._store, ApiKey, info.key) for info in self._store.list(keys.ACCESS_KEYS)]
        return sorted(found, key=lambda key: key.created_at, reverse=True)

    def any(self) -> bool:
        """Whether there is a key at all."""
        return next(iter(self._store.list(keys.ACCESS_KEYS)), None) is not None

    def revoke(self, key_id: str) -> ApiKey:
        """The key counts no more; once it does not, nothing changes. Raises KeyNotFound."""
        self.get(key_id)

        def revoked(present: ApiKey | None) -> ApiKey:
            if present is None:
                raise KeyNotFound(f"there is no key {key_id!r:.100}", key_id=key_id[:100])
            return present if present.revoked_at else present.model_copy(update={"revoked_at": self._now()})

        return documents.change(self._store, ApiKey, keys.access_key(key_id), revoked)
