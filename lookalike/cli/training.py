"""train: a model from images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.output import OUTPUT, note, say
from lookalike.cli.session import workspace
from lookalike.errors import MissingExtra
from lookalike.settings import load

if TYPE_CHECKING:
    from services.trainer.training import Outcome

_IS_RUN = "config.json"


def train(
    recipe: Annotated[str, typer.Argument(help="vanilla_ae, conv_ae, denoising_ae, densenet, mini_densenet, …")],
    data: Annotated[str, typer.Option(help="labelled images: a folder, a COCO annotation file, a table")] = "",
    images: Annotated[Path | None, typer.Option(help="folder of the images of an annotation file or table")] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="key=value, any value of the recipe")] = None,
    run: Annotated[Path | None, typer.Option(help="folder of the run; a new one by default")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the last checkpoint of --run")] = False,
    export: Annotated[bool, typer.Option("--export/--no-export", help="put the model into the store")] = True,
) -> None:
    """Trains a model by a recipe, checks its archive and puts it into the store.

    Stopped at any moment, --resume --run FOLDER goes on from the last checkpoint. Under torchrun the ranks train
    together.
    """
    try:
        from services.trainer.commands import export_run, is_first_rank, train_recipe
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), "trainer") from error

    settings = load()
    with workspace() as at:
        outcome = train_recipe(
            at,
            recipe,
            data=data,
            images=images,
            overrides=changes or (),
            run=run,
            runs=settings.storage.runs,
            resume=resume,
            as_json=OUTPUT.as_json,
        )
        if not is_first_rank():
            return
        model = str(export_run(at, outcome.folder, None).ref) if export else None
    _show(outcome, model)


def _show(outcome: "Outcome", model: str | None) -> None:
    measured = ", ".join(f"{name} {value:.3f}" for name, value in outcome.metrics.items() if "@" in name)
    if outcome.collapsed:
        note("the model has collapsed: it gives all images the same embedding")
    if outcome.num_failed:
        note(f"{outcome.num_failed} images could not be read; manifest.json names them")
    best = "" if outcome.best_epoch is None else f"best epoch {outcome.best_epoch + 1} of {outcome.epochs}: "
    stored = f"; in the store as {model}" if model else ""
    say({**vars(outcome), "folder": str(outcome.folder), "model": model}, f"{outcome.folder}: {best}{measured}{stored}")


def export_trained(run: Path, file: Path | None, name: str | None) -> None:
    """The archive of the run in folder ``run`` into the store, and to ``file``."""
    try:
        from services.trainer.commands import export_run
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), "trainer") from error

    with workspace() as at:
        manifest = export_run(at, run, file, name)
    where = f", and in {file}" if file else ""
    say(manifest, f"{manifest.ref}: dimension {manifest.dimension}, in the store{where}")


def is_run(text: str) -> bool:
    """Whether ``text`` is the folder of a training run."""
    return (Path(text) / _IS_RUN).is_file()


def register(app: typer.Typer) -> None:
    app.command()(train)
