"""A backup of the tiles, and what comes back from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reembedded_gallery import EXACT, GALLERY, NEW, NO_GATE, OLD, TWO, Tiles

from lookalike.pipeline.backup import back_up
from lookalike.pipeline.backup_format import BackupManifest, find_backup
from lookalike.pipeline.change import embed_and_follow
from lookalike.pipeline.reembed import reembed
from lookalike.pipeline.restore import RestoreReport, restore
from lookalike.storage.local import LocalStore
from lookalike.storage.port import ObjectStore

__all__ = ["EXACT", "GALLERY", "NEW", "NO_GATE", "OLD", "TWO", "Tiles"]


def tiles_in(folder: Path, **more: str) -> Tiles:
    """30 images re-embedded from the old model to the new; then two came, which are embedded, and two went."""
    made = Tiles(folder, **more)
    made.put(*range(30))
    reembed(made.at, GALLERY, OLD, TWO, checks=NO_GATE)
    reembed(made.at, GALLERY, NEW, TWO, checks=NO_GATE)
    made.put(30, 31)
    embed_and_follow(made.at, GALLERY)
    made.take(3, 4)
    return made


def backed_up(tiles: Tiles, place: ObjectStore | None = None, **options: Any) -> BackupManifest:
    """A backup in ``place``, by default the folder ``backups`` beside the store."""
    to = place or LocalStore(tiles.folder / "backups")
    with tiles.at.artifacts.temporary() as scratch:
        return back_up(options.pop("store", tiles.at.store), to, scratch, **options)[0]


@contextmanager
def restored(
    folder: Path,
    place: ObjectStore,
    *,
    backup_id: str | None = None,
    more: dict[str, str] | None = None,
    **options: Any,
) -> Iterator[tuple[Tiles, RestoreReport]]:
    """The tiles as they come back in the store below ``folder``."""
    made = Tiles.__new__(Tiles)
    made.open(folder, **(more or {}))
    try:
        with made.at.artifacts.temporary() as scratch:
            report = restore(made.at, place, find_backup(place, backup_id), scratch, **options)
        yield made, report
    finally:
        made.close()


def answers(tiles: Tiles) -> dict[tuple[str, str, int], tuple[str, list[int]]]:
    """What searches under both models and in both backends find."""
    return {
        (model, backend, number): tiles.find(number, model=model, backend=backend, k=10)
        for model in (OLD, NEW)
        for backend in TWO
        for number in (0, 5, 30)
    }


def content(store: ObjectStore) -> dict[str, bytes]:
    """Everything in a store."""
    return {info.key: store.get(info.key) for info in store.list("")}
