"""search and evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.indexing import parse_params
from lookalike.cli.output import note, progress, say, table
from lookalike.cli.session import workspace
from lookalike.errors import InvalidRequest
from lookalike.pipeline.evaluate import Evaluation, evaluate_gallery
from lookalike.pipeline.search import search as search_gallery
from lookalike.types.search import SearchRequest


def search(
    gallery: str,
    image: Annotated[str, typer.Argument(help="a file, or the image_id of an image of the gallery")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000)] = 10,
    model: Annotated[str | None, typer.Option("--model", "-m")] = None,
    backend: Annotated[str | None, typer.Option("--backend", "-b")] = None,
    filter: Annotated[str | None, typer.Option(help="a filter as JSON")] = None,
    params: Annotated[str, typer.Option(help="the backend's search parameters as a JSON object")] = "{}",
    exclude_self: Annotated[bool, typer.Option(help="leave the query image out")] = False,
    grid: Annotated[Path | None, typer.Option(help="write a picture of query and hits (PNG)")] = None,
) -> None:
    """What looks like IMAGE?"""
    said = {
        "k": k,
        "model": model,
        "backend": backend,
        "filter": None if filter is None else parse_params(filter),
        "params": parse_params(params),
        "exclude_self": exclude_self,
    }
    path = Path(image)
    try:
        data = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise InvalidRequest(f"cannot read {image}: {error.strerror}") from error
    request = SearchRequest.model_validate(said if data is not None else {**said, "image_id": image})
    with workspace() as at:
        at.galleries.get(gallery)
        response = search_gallery(at.serving.gallery(gallery), request, at.query, image=data)
        if grid is not None:
            from lookalike.pipeline.grid import draw_grid

            draw_grid(at, gallery, response, grid, query=data, query_id=None if data is not None else image)
            note(f"wrote {grid}")
    rows = [
        {
            "rank": hit.rank,
            "similarity": f"{hit.similarity:.4f}",
            "key": hit.key,
            "labels": ", ".join(hit.labels.subcategories),
            "image_id": hit.image_id,
        }
        for hit in response.hits
    ]
    note(f"{response.model} through {response.backend}, {response.took_ms['total']:.1f} ms")
    table(rows, ["rank", "similarity", "key", "labels", "image_id"])


def evaluate(
    gallery: str,
    protocol: Annotated[str, typer.Option(help="standard or paper")] = "standard",
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="once or several times")] = None,
    backend: Annotated[list[str] | None, typer.Option("--backend", "-b", help="once or several times")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="of protocol standard")] = 10,
    queries: Annotated[int | None, typer.Option(min=1, help="a seeded sample; default: every image")] = None,
    seed: int = 0,
    self_counts: Annotated[bool, typer.Option(help="protocol paper: the query itself counts as a neighbour")] = False,
    report: Annotated[Path | None, typer.Option(help="write an HTML report")] = None,
) -> None:
    """Measures every live (model, backend) pair through the same search that answers queries."""
    with workspace() as at, progress() as tell:
        made = evaluate_gallery(
            at,
            gallery,
            protocol=protocol,
            models=model,
            backends=backend,
            k=k,
            num_queries=queries,
            seed=seed,
            self_counts=self_counts,
            report=tell,
        )
    show(made)
    if report is not None:
        from lookalike.evaluation.html import evaluation_html

        report.write_text(evaluation_html(made.document), encoding="utf-8")
        note(f"wrote {report}")


def show(made: Evaluation) -> None:
    """The evaluation's table."""
    rows, columns = made.rows()
    table(rows, columns)
    if not rows:
        say({}, "no labelled queries")


def register(app: typer.Typer) -> None:
    app.command()(search)
    app.command()(evaluate)
