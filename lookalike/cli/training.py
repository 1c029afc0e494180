"""train: a model from images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.output import OUTPUT, note, progress, say, table
from lookalike.cli.session import workspace
from lookalike.errors import MissingExtra
from lookalike.settings import load

if TYPE_CHECKING:
    from lookalike.evaluation.bootstrap import Interval
    from services.trainer.outcome import Outcome

_IS_RUN = "config.json"


def train(
    recipe: Annotated[str, typer.Argument(help="vanilla_ae, conv_ae, denoising_ae, densenet, mini_densenet, …")],
    data: Annotated[str, typer.Option(help="labelled images: a folder, a COCO annotation file, a table")] = "",
    images: Annotated[Path | None, typer.Option(help="folder of the images of an annotation file or table")] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="key=value, any value of the recipe")] = None,
    run: Annotated[Path | None, typer.Option(help="folder of the run; a new one by default")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the last checkpoint of --run")] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="with --resume: train no further, the best epoch so far is the model")
    ] = False,
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
            finish=finish,
            as_json=OUTPUT.as_json,
        )
        if not is_first_rank():
            return
        _warn(outcome)
        model = str(export_run(at, outcome.folder, None).ref) if export else None
    _show(outcome, model)


def study(
    data: Annotated[str, typer.Argument(help="labelled images: a folder, a COCO annotation file, a table")],
    images: Annotated[Path | None, typer.Option(help="folder of the images of an annotation file or table")] = None,
    size: Annotated[int | None, typer.Option(help="images at most, in the classes' proportions")] = None,
    recipes: Annotated[str, typer.Option(help="recipes, separated by commas; default: the study's seven")] = "",
    also: Annotated[list[str] | None, typer.Option(help="a model of the store to measure beside them")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="key=value for every recipe, RECIPE:key=value for one")
    ] = None,
    val_share: Annotated[float, typer.Option(help="share of the images that is measured, not trained on")] = 0.5,
    split: Annotated[str, typer.Option(help="seeded, or source: the data's own train and validation")] = "seeded",
    seed: Annotated[int, typer.Option(help="of the split, the weights, the queries shown")] = 0,
    published: Annotated[
        Path | None, typer.Option(help="JSON list of the 2021 study's figures: model, backend, level, precision, …")
    ] = None,
    folder: Annotated[Path, typer.Option(help="where runs, pictures, study.json and study.html are kept")] = Path(
        "var/study"
    ),
) -> None:
    """Trains or imports the study's models, measures each in every backend, and writes a table and a report.

    Models are trained on one part of the images and measured on the other. The same call goes on where it stopped.
    """
    try:
        from services.trainer.commands import study_recipes
        from services.trainer.study_models import StudyData
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), "trainer") from error

    chosen = StudyData(
        source=str(Path(data).expanduser().resolve()),
        images_root=None if images is None else images.expanduser().resolve(),
        size=size,
        val_share=val_share,
        split=split,
        seed=seed,
    )
    with workspace() as at, progress() as report:
        result = study_recipes(
            at,
            chosen,
            recipes=[name.strip() for name in recipes.split(",") if name.strip()],
            also=also or (),
            overrides=changes or (),
            published=published,
            folder=folder,
            say=note,
            report=report,
            as_json=OUTPUT.as_json,
        )
    rows = [
        {
            **row.model_dump(mode="json", exclude={"precision", "recall"}),
            "precision@4": _with_interval(row.precision),
            "recall@4": _with_interval(row.recall),
        }
        for row in result.rows
    ]
    table(rows, ["model", "backend", "protocol", "level", "precision@4", "recall@4", "num_scored"], value=result)
    for name, reason in ((model.name, model.said) for model in result.models if model.ref is None):
        note(f"without {name}: {reason}")
    note(f"{folder / 'study.html'} and {folder / 'study.json'}")


def _with_interval(found: "Interval") -> str:
    if found.mean is None:
        return ""
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"


def _warn(outcome: "Outcome") -> None:
    if outcome.collapsed:
        note("the model has collapsed: it gives all images the same embedding")
    if outcome.num_failed:
        note(f"{outcome.num_failed} images could not be read; manifest.json names them")


def _show(outcome: "Outcome", model: str | None) -> None:
    measured = ", ".join(f"{name} {value:.3f}" for name, value in outcome.metrics.items() if "@" in name)
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
    app.command()(study)
