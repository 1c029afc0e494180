"""models: list, show, import, export, register."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.output import say, table
from lookalike.cli.session import workspace
from lookalike.cli.training import export_trained, is_run
from lookalike.embedding.batching import Batching
from lookalike.errors import InvalidRequest
from lookalike.pipeline.models import export_archive, import_model, register_archive
from lookalike.settings import load
from lookalike.types.models import ResizePolicy

models_app = typer.Typer(help="Models: list, show, import, export, register.", no_args_is_help=True)


@models_app.command("list")
def list_models() -> None:
    """Every version of every model."""
    with workspace() as at:
        rows = [
            {"model": str(m.ref), "dimension": m.dimension, "input": m.input_size, "resize": m.resize_policy.value}
            for m in at.models.list()
        ]
    table(rows, ["model", "dimension", "input", "resize"])


@models_app.command("show")
def show(model: str) -> None:
    """The manifest of one model."""
    with workspace() as at:
        manifest = at.models.get(model)
    say(manifest, manifest.model_dump_json(indent=2))


@models_app.command("import")
def import_command(
    source: Annotated[str, typer.Argument(help="house, torchvision:NAME or baseline:NAME")],
    weights: Annotated[Path | None, typer.Option(help="a local state dict instead of torchvision's download")] = None,
    pooled: Annotated[
        bool, typer.Option("--pooled/--flattened", help="how the last feature map becomes numbers")
    ] = True,
    resize: Annotated[ResizePolicy, typer.Option(help="how an image becomes a square")] = ResizePolicy.LETTERBOX,
    name: Annotated[str | None, typer.Option(help="name in the store; default: that of the source")] = None,
    mean: Annotated[str | None, typer.Option(help="per-channel mean of the pixels in [0, 1], as r,g,b")] = None,
    std: Annotated[str | None, typer.Option(help="per-channel deviation, as r,g,b")] = None,
    batch_requests: Annotated[
        int | None, typer.Option(min=1, max=256, help="requests that TorchServe answers together; default: its own")
    ] = None,
    batch_delay_ms: Annotated[
        int, typer.Option(min=1, max=1000, help="how long one waits for others, with --batch-requests")
    ] = 2,
) -> None:
    """Makes a model archive and puts it into the store."""
    batching = None if batch_requests is None else Batching(requests=batch_requests, delay_ms=batch_delay_ms)
    with workspace() as at:
        manifest = import_model(
            at,
            source,
            weights=weights,
            pooled=pooled,
            resize_policy=resize,
            name=name,
            mean=mean,
            std=std,
            batching=batching,
        )
    say(manifest, f"{manifest.ref}: dimension {manifest.dimension}")


@models_app.command("export")
def export_command(
    model: Annotated[str, typer.Argument(help="name or name@version, or the folder of a training run")],
    file: Annotated[Path | None, typer.Argument(help="the archive to write (.mar)")] = None,
    name: Annotated[str | None, typer.Option(help="name of a training run's model; default: the recipe's")] = None,
) -> None:
    """Writes the archive of a model to FILE, after checking that it is the one that was stored.

    Of a training run: makes the archive, verifies that it gives the trained model's embeddings, and stores it.
    """
    if is_run(model):
        export_trained(Path(model), file, name)
        return
    if file is None or name is not None:
        raise InvalidRequest(f"{model} is not the folder of a training run: lookalike models export MODEL FILE")
    with workspace() as at:
        manifest = export_archive(at, model, file)
    say(manifest, f"{manifest.ref} is in {file}")


@models_app.command("register")
def register_command(archive: Path) -> None:
    """Puts a model archive (.mar) into the store."""
    with workspace() as at:
        manifest = register_archive(at, archive)
    say(manifest, f"{manifest.ref}: dimension {manifest.dimension}")


@models_app.command("reconcile")
def reconcile_command() -> None:
    """Has TorchServe, at embedder.url, serve the registered models now, and says what it did."""
    options = load().embedder
    if options.url is None or options.protocol != "torchserve":
        raise InvalidRequest("embedder.url names no TorchServe (embedder.protocol = torchserve)")
    from lookalike.embedding.torchserve import reconcile

    done = reconcile(options.url, None if options.token is None else options.token.get_secret_value())
    models = (f"{one.model}: {one.ready} of {one.workers} workers answer" for one in done.models.values())
    say(done, "\n".join((*done.actions, *done.errors, *models)) or "no model is registered")


def register(app: typer.Typer) -> None:
    app.add_typer(models_app, name="models")
