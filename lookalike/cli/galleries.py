"""gallery, ingest, failures."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.output import progress, say, table
from lookalike.cli.session import workspace
from lookalike.pipeline.change import delete_gallery
from lookalike.pipeline.gallery_state import gallery_state
from lookalike.pipeline.ingest import ingest as ingest_images
from lookalike.pipeline.lineage import lineage

gallery_app = typer.Typer(help="Galleries: create, list, show, delete.", no_args_is_help=True)


@gallery_app.command("create")
def create(name: str, description: Annotated[str, typer.Option(help="In words, for people.")] = "") -> None:
    """Makes an empty gallery."""
    with workspace() as at:
        pointer = at.galleries.create(name, description=description)
        say(pointer, f"gallery {pointer.name} created")


@gallery_app.command("list")
def list_galleries() -> None:
    """All galleries."""
    with workspace() as at:
        states = [gallery_state(at, pointer.name) for pointer in at.galleries.list()]
    rows = [state.model_dump(mode="json") for state in states]
    table(rows, ["name", "num_images", "num_failures", "default_model", "created_at"])


@gallery_app.command("show")
def show(name: str) -> None:
    """Counts, labels, live indexes, pending changes of one gallery, and with what its embeddings were made."""
    with workspace() as at:
        shown = {
            **gallery_state(at, name).model_dump(mode="json"),
            "embeddings": [made.model_dump(mode="json") for made in lineage(at, name)],
        }
    say(shown, json.dumps(shown, indent=2, ensure_ascii=False))


@gallery_app.command("delete")
def delete(name: str) -> None:
    """Removes a gallery with its images, embeddings and indexes."""
    with workspace() as at:
        delete_gallery(at, name)
        say({"deleted": name}, f"gallery {name} deleted")


def ingest(
    gallery: str,
    source: Annotated[str, typer.Argument(help="Folder, COCO annotation file, CSV, list of URLs, or s3://.")],
    images: Annotated[Path | None, typer.Option(help="The images' folder, for annotation files.")] = None,
    retry_failed: Annotated[bool, typer.Option(help="Try images of the failure ledger again.")] = False,
) -> None:
    """Makes GALLERY hold the images of SOURCE."""
    from lookalike.galleries.open import open_source

    with workspace() as at, progress() as report:
        opened = open_source(source, images_root=images, fetcher=at.fetch, open_bucket=at.source_buckets.open)
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
        rows = [entry.model_dump(mode="json") for entry in at.ledger.all(at.galleries.get(gallery).name)]
        table(rows, ["key", "stage", "code", "reason", "attempts"])


def register(app: typer.Typer) -> None:
    app.add_typer(gallery_app, name="gallery")
    app.command()(ingest)
    app.command()(failures)
