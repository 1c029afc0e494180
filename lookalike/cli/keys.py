"""keys: create, list, revoke. They work on the store itself, so whoever may run them needs no key."""

from typing import Annotated

import typer

from lookalike.cli.output import OUTPUT, note, say, table
from lookalike.cli.session import workspace
from lookalike.pipeline.api_keys import create_key, list_keys, parse_lasting, revoke_key
from lookalike.types.api_keys import Scope

keys_app = typer.Typer(help="API keys of the gateway: create, list, revoke.", no_args_is_help=True)


@keys_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="whose it is or what it is for; shown in lists and logs")],
    scope: Annotated[
        Scope, typer.Option(help="read: search and look; write: also change galleries and run jobs; admin: everything")
    ] = Scope.READ,
    expires: Annotated[str | None, typer.Option(help="after how long it counts no more: 12h, 90d, 6w, 1y")] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(help="its own limit in place of access.requests_per_minute")
    ] = None,
) -> None:
    """Makes a key and prints it: this once, since only a hash of it is kept."""
    with workspace() as at:
        made = create_key(
            at,
            name,
            scope,
            expires_in_s=None if expires is None else parse_lasting(expires),
            requests_per_minute=requests_per_minute,
        )
    if not OUTPUT.as_json:
        note(f"key {made.info.key_id} for {made.info.scope}; it is shown this once:")
    say(made, made.key)


@keys_app.command("list")
def list_command() -> None:
    """All keys, also those that count no more, newest first; never their texts."""
    with workspace() as at:
        rows = [info.model_dump(mode="json") for info in list_keys(at)]
    table(rows, ["key_id", "name", "scope", "state", "created_at", "expires_at", "requests_per_minute"])


@keys_app.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(metavar="KEY", help="its key_id, from `keys list`")]) -> None:
    """The key counts no more: gateways that run notice within 10 seconds."""
    with workspace() as at:
        info = revoke_key(at, key_id)
    say(info, f"key {info.key_id} ({info.name}) is revoked")


def register(app: typer.Typer) -> None:
    app.add_typer(keys_app, name="keys")
