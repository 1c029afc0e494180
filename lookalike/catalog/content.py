"""Objects whose key is the digest of their bytes: written once, referred to by any number of others, collected late."""

from datetime import UTC, datetime, timedelta

from lookalike.storage.port import ObjectStore

WRITTEN_AGAIN_AFTER = timedelta(hours=1)  # far longer than from writing an object to the version that names it


def put_content(store: ObjectStore, key: str, data: bytes) -> None:
    """Stores ``data`` under ``key``, unless the same bytes were written there within the last hour.

    Older ones are written again, which makes them young: collection may be about to take what nothing refers to yet.
    """
    info = store.head(key)
    if info is not None and (info.modified_at is None or datetime.now(UTC) - info.modified_at < WRITTEN_AGAIN_AFTER):
        return
    store.put(key, data)
