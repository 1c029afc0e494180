"""gallery, ingest, failures."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.output import progress, say, table
from lookalike.cli.session import workspace
from lookalike.pipeline.gallery_state import gallery_state
from lookalike.pipeline.ingest import ingest as ingest_images

gallery_app = typer.Typer(help="Galleries: create, list, show, delete.", no_args_is_help=True)


@gallery_app.command("create")
def create(name: str, description: str = "") -> None:
    """Makes an empty gallery."""
    with workspace() as at:
        pointer = at.galleries.create(name, description=description)
        say(pointer, f"gallery {pointer.name} created")


@gallery_app.command("list")
def list_galleries() -> None:
    """All galleries."""
    with workspace() as at:
        rows = [gallery_state(at, pointer.name) for pointer in at.galleries.list()]
        table([row.model_dump() for row in rows], ["name", "num_images", "default_model", "created_at"])


@gallery_app.command("show")
def show(name: str) -> None:
    """Counts, labels, live indexes and pending changes of one gallery."""
    with workspace() as at:
        state = gallery_state(at, name)
        say(state, state.model_dump_json(indent=2))


@gallery_app.command("delete")
def delete(name: str) -> None:
    """Removes a gallery with its images, embeddings and indexes."""
    with workspace() as at:
        at.galleries.delete(name)
        say({"deleted": name}, f"gallery {name} deleted")


def ingest(
    gallery: str,
    source: Annotated[str, typer.Argument(help="Folder, COCO annotation file, CSV, or list of URLs.")],
    images: Annotated[Path | None, typer.Option(help="The images' folder, for annotation files.")] = None,
    retry_failed: Annotated[bool, typer.Option(help="Try images of the failure ledger again.")] = False,
) -> None:
    """Makes GALLERY hold the images of SOURCE."""
    from lookalike.galleries.open import open_source

    with workspace() as at, progress() as report:
        opened = open_source(source, images_root=images, fetcher=at.fetch)
        try:
            made = ingest_images(
                at.store,
                at.galleries,
                at.ledger,
                gallery,
                opened,
                limits=at.limits,
                retry_failed=retry_failed,
                report=report,
            )
        finally:
            opened.close()
    say(
        made,
        f"{made.num_images} images in {gallery}: {made.added} added, {made.updated} updated, "
        f"{made.unchanged} unchanged, {made.removed} removed, {made.failed} failed",
    )


def failures(gallery: str) -> None:
    """The failure ledger: what could not be read or embedded, and why."""
    with workspace() as at:
        rows = [entry.model_dump() for entry in at.ledger.all(at.galleries.get(gallery).name)]
        table(rows, ["key", "stage", "code", "reason", "attempts"])


def register(app: typer.Typer) -> None:
    app.add_typer(gallery_app, name="gallery")
    app.command()(ingest)
    app.command()(failures)
