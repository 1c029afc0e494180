"""embed, build, promote, rollback, compact, tune."""

import json
from typing import Annotated

import typer

from lookalike.catalog.indexes import IndexManifest
from lookalike.cli.output import progress, say, table
from lookalike.cli.session import workspace
from lookalike.errors import InvalidRequest
from lookalike.pipeline.index_gallery import (
    build_indexes,
    built_indexes,
    compact_gallery,
    embed_gallery,
    newest_set,
    promote_indexes,
)
from lookalike.pipeline.promote import roll_back
from lookalike.pipeline.tune import tune_gallery
from lookalike.settings import load

Model = Annotated[str, typer.Option("--model", "-m", help="name or name@version")]
Backends = Annotated[list[str] | None, typer.Option("--backend", "-b", help="once or several times; default: all")]
DEFAULT_MODEL = "color_edges"


def embed(
    gallery: str,
    model: Model = DEFAULT_MODEL,
    retry_failed: Annotated[bool, typer.Option(help="Try images of the failure ledger again.")] = False,
) -> None:
    """Embeds what is not embedded yet under MODEL."""
    with workspace() as at, progress() as report:
        made = embed_gallery(at, gallery, model, retry_failed=retry_failed, report=report)
    say(made, f"{made.embedded} embedded, {made.reused} there already, {made.failed} failed: set {made.set_id}")


def build(
    gallery: str,
    model: Model = DEFAULT_MODEL,
    backend: Backends = None,
    params: Annotated[str, typer.Option(help="the backend's build parameters as a JSON object")] = "{}",
) -> None:
    """Builds indexes from the newest embedding set and compares each with exact search."""
    with workspace() as at, progress() as report:
        made = build_indexes(
            at,
            gallery,
            newest_set(at, gallery, model),
            backend or load().build.backends,
            params=parse_params(params),
            report=report,
        )
    table([index_row(manifest) for manifest in made], ["backend", "index", "embeddings", "build s", "MB", "knn recall"])


def index_row(manifest: IndexManifest) -> dict[str, object]:
    """One index as a row."""
    return {
        "backend": manifest.backend,
        "index": manifest.index_id,
        "embeddings": manifest.num_embeddings,
        "build s": round(manifest.build_s, 3),
        "MB": round(manifest.size_bytes / 1e6, 2),
        "knn recall": None if manifest.parity is None else round(manifest.parity.knn_recall, 4),
    }


def parse_params(text: str) -> dict[str, object]:
    """A JSON object of the command line. Raises InvalidRequest."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"parameters are a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"parameters are a JSON object, not {text!r:.100}")
    return value


def promote(gallery: str, model: Model = DEFAULT_MODEL, backend: Backends = None) -> None:
    """Makes the built indexes live, if they agree with exact search."""
    with workspace() as at:
        embedding_set = newest_set(at, gallery, model)
        live = promote_indexes(at, gallery, embedding_set, built_indexes(at, gallery, embedding_set, backend))
    entry = live.models[embedding_set.model]
    say(live, f"{entry.model} is live in {gallery}: {', '.join(sorted(entry.indexes))}")


def rollback(gallery: str) -> None:
    """Serves what the last promotion replaced."""
    with workspace() as at:
        live = roll_back(at.galleries, at.sets, at.pointers, gallery)
    say(live, f"live in {gallery}: {', '.join(sorted(live.models)) or 'nothing'}")


def compact(gallery: str, model: Model = DEFAULT_MODEL) -> None:
    """Folds additions and deletions into new indexes."""
    with workspace() as at, progress() as report:
        live = compact_gallery(at, gallery, model, report=report)
    say(live, f"{gallery} compacted")


def tune(
    gallery: str,
    backend: Annotated[str, typer.Option("--backend", "-b")],
    model: Annotated[str | None, typer.Option("--model", "-m")] = None,
    target_knn_recall: Annotated[float, typer.Option(min=0, max=1)] = 0.95,
    k: Annotated[int, typer.Option(min=1, max=1000)] = 10,
) -> None:
    """Finds the search parameters with the least latency that reach the wanted knn recall, and keeps them."""
    with workspace() as at:
        tuned = tune_gallery(at, gallery, model, backend, target_knn_recall=target_knn_recall, k=k)
    reached = "reached" if tuned.knn_recall >= target_knn_recall else "NOT reached; the best is"
    say(
        tuned,
        f"{target_knn_recall} {reached}: knn recall@{k} {tuned.knn_recall:.4f} "
        f"at {tuned.latency_p50_ms:.3f} ms with {tuned.params or 'the defaults'}",
    )


def register(app: typer.Typer) -> None:
    for command in (embed, build, promote, rollback, compact, tune):
        app.command()(command)
