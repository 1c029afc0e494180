"""Snapshots of collections on a Qdrant server: files of its own from which it can have a collection again."""

from lookalike.errors import DependencyUnavailable
from lookalike.indexes.qdrant_server_connection import Connection


def snapshot(connection: Connection, collection: str, kept: int | None) -> str:
    """Makes one, waits for it and returns its name; the oldest beyond ``kept`` go, whoever made them.

    Raises as :meth:`Connection.reached`.
    """
    with connection.reached(collection) as clients:
        made = clients.rest.create_snapshot(collection, wait=True)
        if made is None:
            raise DependencyUnavailable(f"the server made no snapshot of {collection}", dependency="qdrant")
        if kept is not None:
            present = clients.rest.list_snapshots(collection)
            newest_first = sorted(present, key=lambda one: (one.creation_time or "", one.name), reverse=True)
            for old in newest_first[kept:]:
                clients.rest.delete_snapshot(collection, old.name)
        return str(made.name)
