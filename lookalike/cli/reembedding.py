"""reembed, collect."""

from typing import Annotated

import typer

from lookalike.bootstrap import gate_rule
from lookalike.catalog.live import MAX_FORMER
from lookalike.cli.indexing import (
    Backends,
    Force,
    GateK,
    GateLevel,
    GateQueries,
    MaxDrop,
    Model,
    UseGate,
    chosen,
    parse_params,
)
from lookalike.cli.output import note, progress, say, table
from lookalike.cli.session import workspace
from lookalike.errors import InvalidRequest
from lookalike.pipeline.backends import installed
from lookalike.pipeline.collect import CollectReport, collect_all
from lookalike.pipeline.collect import collect as collect_garbage
from lookalike.pipeline.estimate import SAMPLE_IMAGES, Estimate, estimate
from lookalike.pipeline.gate_rule import chosen_rule
from lookalike.pipeline.models import ensure_model
from lookalike.pipeline.promote import Checks
from lookalike.pipeline.reembed import reembed as reembed_gallery
from lookalike.pipeline.reembed import wanted_indexes
from lookalike.pipeline.retention import Retention
from lookalike.settings import load


def reembed(
    gallery: str,
    model: Model = None,
    backend: Backends = None,
    params: Annotated[str, typer.Option(help="build parameters as a JSON object, by backend")] = "{}",
    only_estimate: Annotated[bool, typer.Option("--estimate", help="Say what it would take, and do nothing.")] = False,
    sample: Annotated[int, typer.Option(min=0, help="Images embedded to estimate the time; 0: none.")] = SAMPLE_IMAGES,
    gate: UseGate = None,
    gate_level: GateLevel = None,
    gate_k: GateK = None,
    gate_queries: GateQueries = None,
    max_drop: MaxDrop = None,
    force: Force = False,
    retry_failed: Annotated[bool, typer.Option(help="Try images of the failure ledger again.")] = False,
) -> None:
    """Puts MODEL in the place of what is live, while GALLERY is searched; says before what that takes."""
    settings = load()
    rule = chosen_rule(
        gate_rule(settings),
        enabled=settings.gate.enabled if gate is None else gate,
        level=gate_level,
        k=gate_k,
        max_drop=max_drop,
        num_queries=gate_queries,
    )
    with workspace() as at, progress() as report:
        names, missing = (backend, {}) if backend else installed(at.backend, settings.build.backends)
        wanted = wanted_indexes(at, names, _by_backend(params))
        name = ensure_model(at, chosen(model))
        expected = estimate(at, gallery, name, wanted, sample_images=sample)
        if only_estimate:
            say(expected, described(expected))
            return
        note(described(expected))
        for without, reason in missing.items():
            note(f"without {without}: {reason}")
        checks = Checks(settings.build.min_parity, rule, force)
        made = reembed_gallery(at, gallery, name, wanted, checks=checks, retry_failed=retry_failed, report=report)
    for overridden in made.forced:
        note(f"forced: {overridden}")
    for one in made.comparisons:
        note(
            f"{one.backend}: precision {one.candidate:.3f}, of {one.live_index} {one.live:.3f} "
            f"(difference {one.difference.mean:.3f}, 95 % interval {one.difference.low:.3f} to "
            f"{one.difference.high:.3f}, {one.num_queries} queries)"
        )
    done = (
        f"{made.embedded} embedded, {made.reused} there already, {made.failed} failed, {len(made.built)} indexes built"
    )
    is_live = f"{made.model} is live in {gallery}: {', '.join(sorted(made.indexes))}"
    say(made, f"{done}; {is_live}" if made.promoted else f"{done}; {is_live}, as before")


def described(expected: Estimate) -> str:
    """An estimate in one line."""
    time = "unknown time" if expected.embed_s is None else f"about {expected.embed_s:.0f} s"
    speed = "" if expected.images_per_s is None else f" at {expected.images_per_s:.0f} images/s"
    indexes = ", ".join(f"{name} {index.size_bytes / 1e6:.1f}" for name, index in expected.indexes.items()) or "none"
    return (
        f"{expected.to_embed} of {expected.num_images} images to embed under {expected.model}: {time}{speed}; "
        f"{expected.new_bytes / 1e6:.1f} MB more in the store (indexes to build, MB: {indexes}), "
        f"{expected.later_bytes / 1e6:.1f} MB less when what it replaces is collected"
    )


def collect(
    gallery: Annotated[str | None, typer.Argument(help="Default: every gallery.")] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Least age of garbage, in seconds; default: setting collect.keep_s.")
    ] = None,
    keep_former: Annotated[
        int | None,
        typer.Option(min=0, max=MAX_FORMER, help="States kept for rollback; default: setting collect.keep_former."),
    ] = None,
) -> None:
    """Deletes what nothing refers to any more: former indexes, embeddings, versions and images.

    Of every gallery: what cannot be done in one keeps none of the others; the status then says that something failed.
    """
    settings = load().collect
    retention = Retention(
        keep_s=settings.keep_s if older_than is None else older_than,
        keep_former=settings.keep_former if keep_former is None else keep_former,
    )
    with workspace() as at, progress() as report:
        if gallery is None:
            made, failed = collect_all(at, retention, report=report)
        else:
            made, failed = [collect_garbage(at, gallery, retention, report=report)], {}
    for name, error in failed.items():
        note(f"{name} is left: {error.message}")
    for one in made:
        for index_id in one.kept_back:
            note(f"{index_id} of {one.gallery} is left: its server does not answer")
    table([row for one in made for row in _rows(one)], ["gallery", "kind", "objects", "MB"], value=made)
    for error in failed.values():
        raise error


def _rows(made: CollectReport) -> list[dict[str, object]]:
    return [
        {"gallery": made.gallery, "kind": kind, "objects": one.objects, "MB": round(one.size_bytes / 1e6, 2)}
        for kind, one in made.deleted.items()
    ]


def _by_backend(text: str) -> dict[str, dict[str, object]]:
    given: dict[str, dict[str, object]] = {}
    for name, params in parse_params(text).items():
        if not isinstance(params, dict):
            raise InvalidRequest(f"--params takes an object for each backend, not {params!r:.100} for {name}")
        given[name] = params
    return given


def register(app: typer.Typer) -> None:
    for command in (reembed, collect):
        app.command()(command)
