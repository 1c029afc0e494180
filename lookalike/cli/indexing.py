"""embed, build, promote, rollback, compact, tune."""

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from lookalike.bootstrap import gate_rule
from lookalike.catalog.indexes import IndexManifest
from lookalike.cli.output import note, progress, say, table
from lookalike.cli.session import workspace
from lookalike.errors import InvalidRequest
from lookalike.evaluation.labels import Level
from lookalike.pipeline.backends import installed
from lookalike.pipeline.gate_rule import chosen_rule
from lookalike.pipeline.index_gallery import (
    build_indexes,
    built_indexes,
    compact_gallery,
    embed_gallery,
    newest_set,
    promote_indexes,
    roll_back_gallery,
)
from lookalike.pipeline.models import ensure_model
from lookalike.pipeline.promote import Checks
from lookalike.pipeline.tune import tune_gallery
from lookalike.settings import load

Model = Annotated[
    str | None, typer.Option("--model", "-m", help="name or name@version; default: setting embedder.default_model")
]
Backends = Annotated[list[str] | None, typer.Option("--backend", "-b", help="once or several times; default: all")]
UseGate = Annotated[
    bool | None, typer.Option("--gate/--no-gate", help="Compare with what is live; default: setting gate.enabled.")
]
GateLevel = Annotated[Level | None, typer.Option(help="Default: setting gate.level.")]
GateK = Annotated[int | None, typer.Option(min=1, max=1000, help="Default: setting gate.k.")]
GateQueries = Annotated[int | None, typer.Option(min=1, help="Default: setting gate.num_queries.")]
MaxDrop = Annotated[
    float | None, typer.Option(min=0, max=1, help="Of precision@k, under the gate; default: setting gate.max_drop.")
]
Force = Annotated[bool, typer.Option("--force", help="Promote although a check fails; it is recorded.")]


def chosen(model: str | None) -> str:
    """``model``, or the one that the settings name."""
    return model or load().embedder.default_model


def embed(
    gallery: str,
    model: Model = None,
    retry_failed: Annotated[bool, typer.Option(help="Try images of the failure ledger again.")] = False,
) -> None:
    """Embeds what is not embedded yet under MODEL."""
    with workspace() as at, progress() as report:
        made = embed_gallery(at, gallery, ensure_model(at, chosen(model)), retry_failed=retry_failed, report=report)
    say(made, f"{made.embedded} embedded, {made.reused} there already, {made.failed} failed: set {made.set_id}")


def build(
    gallery: str,
    model: Model = None,
    backend: Backends = None,
    params: Annotated[str, typer.Option(help="the backend's build parameters as a JSON object")] = "{}",
) -> None:
    """Builds indexes from the newest embedding set and compares each with exact search."""
    with workspace() as at, progress() as report:
        names, missing = (backend, {}) if backend else installed(at.backend, load().build.backends)
        made = build_indexes(
            at,
            gallery,
            newest_set(at, gallery, chosen(model)),
            names,
            params=parse_params(params),
            report=report,
        )
    for name, reason in missing.items():
        note(f"without {name}: {reason}")
    show_indexes(made)


def show_indexes(made: Sequence[IndexManifest]) -> None:
    """Indexes as a table."""
    columns = ["backend", "index", "embeddings", "build s", "MB", "knn recall"]
    table([index_row(manifest) for manifest in made], columns, value=[described(manifest) for manifest in made])


def described(manifest: IndexManifest) -> dict[str, object]:
    """An index for machines: its manifest without the list of its files."""
    return manifest.model_dump(mode="json", exclude={"files"})


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


def parse_params(text: str, option: str = "--params") -> dict[str, object]:
    """A JSON object of the command line. Raises InvalidRequest."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"{option} takes a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{option} takes a JSON object, not {text!r:.100}")
    return value


def promote(
    gallery: str,
    model: Model = None,
    backend: Backends = None,
    min_parity: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least knn recall@10; default: setting build.min_parity.")
    ] = None,
    gate: UseGate = None,
    gate_level: GateLevel = None,
    gate_k: GateK = None,
    gate_queries: GateQueries = None,
    max_drop: MaxDrop = None,
    force: Force = False,
) -> None:
    """Makes the built indexes live, if they agree with exact search and are no worse than what is live."""
    settings = load()
    rule = chosen_rule(
        gate_rule(settings),
        enabled=settings.gate.enabled if gate is None else gate,
        level=gate_level,
        k=gate_k,
        max_drop=max_drop,
        num_queries=gate_queries,
    )
    checks = Checks(settings.build.min_parity if min_parity is None else min_parity, rule, force)
    with workspace() as at:
        embedding_set = newest_set(at, gallery, chosen(model))
        indexes = built_indexes(at, gallery, embedding_set, backend)
        live = promote_indexes(at, gallery, embedding_set, indexes, checks=checks)
    entry = live.models[embedding_set.model]
    for overridden in entry.forced:
        note(f"forced: {overridden}")
    say(live, f"{entry.model} is live in {gallery}: {', '.join(sorted(entry.indexes))}")


def rollback(gallery: str) -> None:
    """Serves what the last promotion replaced."""
    with workspace() as at:
        live = roll_back_gallery(at, gallery)
    say(live, f"live in {gallery}: {', '.join(sorted(live.models)) or 'nothing'}")


def compact(gallery: str, model: Model = None) -> None:
    """Folds additions and deletions into new indexes."""
    with workspace() as at, progress() as report:
        live = compact_gallery(at, gallery, chosen(model), report=report)
    say(live, f"{gallery} compacted")


def tune(
    gallery: str,
    backend: Annotated[str, typer.Option("--backend", "-b", help="the backend whose live index is tuned")],
    model: Annotated[str | None, typer.Option("--model", "-m", help="default: the gallery's")] = None,
    target_knn_recall: Annotated[
        float, typer.Option(min=0, max=1, help="wanted share of the exact k nearest neighbours")
    ] = 0.95,
    k: Annotated[int, typer.Option("-k", "--k", min=1, max=1000, help="neighbours")] = 10,
) -> None:
    """Finds the search parameters with the least latency that reach the wanted knn recall, and keeps them."""
    with workspace() as at:
        tuned = tune_gallery(at, gallery, model, backend, target_knn_recall=target_knn_recall, k=k)
    say(
        tuned,
        f"knn recall@{k} {tuned.knn_recall:.4f} (wanted: {target_knn_recall}) at {tuned.latency_p50_ms:.3f} ms with "
        f"{json.dumps(tuned.params)}: searches of this index use it from now on",
    )


def register(app: typer.Typer) -> None:
    for command in (embed, build, promote, rollback, compact, tune):
        app.command()(command)
