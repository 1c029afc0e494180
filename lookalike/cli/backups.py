"""backup, restore, verify-backup, restore-indexes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from lookalike.bootstrap_backup import Place, open_place
from lookalike.cli.output import progress, say, table
from lookalike.cli.session import workspace
from lookalike.errors import DamagedArtifact, InvalidRequest
from lookalike.pipeline.backup import back_up
from lookalike.pipeline.backup_format import BackupManifest, find_backup, list_backups
from lookalike.pipeline.backup_verify import verify
from lookalike.pipeline.restore import restore as restore_backup
from lookalike.pipeline.restore_indexes import rebuild_lost
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import Settings, load

_WHERE = "a folder, a file that ends in .tar, or s3://bucket/prefix; default: setting backup.target"
Source = Annotated[str | None, typer.Argument(metavar="[SOURCE]", help=_WHERE)]
BackupId = Annotated[str | None, typer.Option("--backup", help="its backup_id; default: the newest")]


def backup(
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]", help=_WHERE)] = None,
    show: Annotated[bool, typer.Option("--list", help="List the backups that are there, and make none.")] = False,
    indexes: Annotated[
        bool, typer.Option("--indexes/--no-indexes", help="With the files of indexes, which a restore can also build.")
    ] = True,
    full: Annotated[bool, typer.Option("--full", help="Copy all again, also what a former backup has.")] = False,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Newest backups that are kept; default: setting backup.keep.")
    ] = None,
) -> None:
    """Copies everything that brings the system back, while it runs; what is there already is not copied again."""
    settings = load()
    if show:
        with open_place(settings, target, write=False) as place:
            rows = list_backups(place.store)
        columns = ["backup_id", "galleries", "images", "objects", "MB", "new MB", "indexes"]
        table([_row(one) for one in rows], columns, value=[_summary(one) for one in rows])
        return
    kept = settings.backup.keep if keep is None else keep
    with workspace() as at, open_place(settings, target, write=True) as place:
        if keep is not None and place.is_file:
            raise InvalidRequest("--keep is for a place of several backups: a file holds one")
        with progress() as report, at.artifacts.temporary() as scratch:
            made, removed = back_up(
                at.store,
                place.store,
                scratch,
                lock=place.lock,
                with_indexes=indexes,
                full=full,
                keep=None if place.is_file else kept,
                threads=settings.backup.threads,
                report=report,
            )
    if made.damaged:
        raise DamagedArtifact(
            f"backup {made.backup_id} is made, but of the store {len(made.damaged)} things could not be copied: "
            + "; ".join(made.damaged[:3]),
            damaged=list(made.damaged),
            backup=made.backup_id,
        )
    gone = f"; {len(removed)} older removed" if removed else ""
    say(
        {**_summary(made), "removed": removed},
        f"backup {made.backup_id}: {len(made.galleries)} galleries, {made.num_objects} objects, "
        f"{made.size_bytes / 1e6:.1f} MB, of which {made.new_bytes / 1e6:.1f} MB were copied{gone}",
    )


def restore(
    source: Source = None,
    backup_id: BackupId = None,
    gallery: Annotated[
        list[str] | None, typer.Option(help="Only this one, with its evaluations and all models; may be repeated.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over what the store has; with --gallery, delete that gallery first.")
    ] = False,
) -> None:
    """Brings a backup back into an empty store. Interrupted, the same command goes on."""
    settings = load()
    with _reading(settings, source) as (at, place, scratch), progress() as report:
        made = restore_backup(
            at,
            place.store,
            find_backup(place.store, backup_id),
            scratch,
            galleries=gallery,
            force=force,
            threads=settings.backup.threads,
            report=report,
        )
    built = f"; {len(made.built)} indexes built" if made.built else ""
    there = f", {made.there} there already" if made.there else ""
    say(
        made,
        f"restored {made.backup_id}: {len(made.galleries)} galleries, {made.written} objects "
        f"({made.size_bytes / 1e6:.1f} MB){there}{built}",
    )


def restore_indexes(
    gallery: Annotated[str | None, typer.Argument(help="Default: every gallery.")] = None,
) -> None:
    """Builds again what a Qdrant server has lost of the live indexes, from their embeddings."""
    with workspace() as at, progress() as report:
        names = [pointer.name for pointer in at.galleries.list()] if gallery is None else [gallery]
        built = {name: rebuild_lost(at, name, report=report) for name in names}
    rows = [{"gallery": name, "index": index_id} for name, ids in built.items() for index_id in ids]
    table(rows, ["gallery", "index"], value=built)


def verify_backup(source: Source = None, backup_id: BackupId = None) -> None:
    """Reads a backup again, checks every digest and that nothing is missing; restores nothing. Status 1 if damaged."""
    settings = load()
    with _reading(settings, source) as (_, place, scratch), progress() as report:
        manifest = find_backup(place.store, backup_id)
        found = verify(place.store, manifest, scratch, threads=settings.backup.threads, report=report)
    if found.num_damaged:
        first = "; ".join(found.damaged[:3])
        raise DamagedArtifact(
            f"backup {found.backup_id} is damaged in {found.num_damaged} places: {first}: make one with --full",
            damaged=list(found.damaged),
        )
    say(found, f"backup {found.backup_id} is whole: {found.num_objects} objects, {found.size_bytes / 1e6:.1f} MB")


@contextmanager
def _reading(settings: Settings, source: str | None) -> Iterator[tuple[Workspace, Place, Path]]:
    with workspace() as at, open_place(settings, source, write=False) as place, at.artifacts.temporary() as scratch:
        yield at, place, scratch


def _summary(one: BackupManifest) -> dict[str, object]:
    """What a backup says of itself, without its lists."""
    return one.model_dump(mode="json", exclude={"parts", "format"})


def _row(one: BackupManifest) -> dict[str, object]:
    return {
        "backup_id": one.backup_id,
        "galleries": ", ".join(one.galleries),
        "images": sum(gallery.num_images for gallery in one.galleries.values()),
        "objects": one.num_objects,
        "MB": round(one.size_bytes / 1e6, 1),
        "new MB": round(one.new_bytes / 1e6, 1),
        "indexes": "yes" if one.with_indexes else "to be built",
    }


def register(app: typer.Typer) -> None:
    app.command()(backup)
    app.command()(restore)
    app.command("verify-backup")(verify_backup)
    app.command("restore-indexes")(restore_indexes)
