"""Names for collections on a Qdrant server, for programs that search it without us."""

from collections.abc import Mapping

from lookalike.indexes.qdrant_server_connection import Connection, models


def publish(connection: Connection, family: str, places: Mapping[str, str]) -> None:
    """See :meth:`lookalike.indexes.port.OutsideIndexes.publish`: one request changes them all, so that nobody who
    asks meanwhile finds a name without its collection."""
    with connection.reached(family) as clients:
        present = {
            alias.alias_name: alias.collection_name
            for alias in clients.rest.get_aliases().aliases
            if alias.alias_name == family or alias.alias_name.startswith(f"{family}.")
        }
        made = models()
        gone = [name for name, place in present.items() if places.get(name) != place]
        come = [name for name, place in places.items() if present.get(name) != place]
        changes = [made.DeleteAliasOperation(delete_alias=made.DeleteAlias(alias_name=name)) for name in gone] + [
            made.CreateAliasOperation(create_alias=made.CreateAlias(alias_name=name, collection_name=places[name]))
            for name in come
        ]
        if changes:
            clients.rest.update_collection_aliases(changes)
