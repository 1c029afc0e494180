"""search and evaluate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from lookalike.cli.indexing import parse_params
from lookalike.cli.output import note, progress, table
from lookalike.cli.session import workspace
from lookalike.errors import InvalidRequest
from lookalike.pipeline.evaluate import Evaluation, EvaluationDocument, evaluate_gallery
from lookalike.pipeline.search import search as search_gallery
from lookalike.types.ids import parse_image_id
from lookalike.types.search import MAX_K, MAX_OFFSET, SearchRequest


def search(
    gallery: str,
    image: Annotated[str, typer.Argument(help="a file, the image_id of an image of the gallery, or a URL")],
    k: Annotated[int, typer.Option("-k", min=1, max=MAX_K, help="hits")] = 10,
    offset: Annotated[int, typer.Option(min=0, max=MAX_OFFSET, help="hits passed over first")] = 0,
    model: Annotated[str | None, typer.Option("--model", "-m", help="default: the gallery's")] = None,
    backend: Annotated[str | None, typer.Option("--backend", "-b", help="default: setting search.backend")] = None,
    min_similarity: Annotated[float | None, typer.Option(min=-1, max=1, help="cosine of the least similar")] = None,
    filter: Annotated[str | None, typer.Option(help="a filter as JSON")] = None,
    params: Annotated[str, typer.Option(help="the backend's search parameters as a JSON object")] = "{}",
    exclude_self: Annotated[bool, typer.Option(help="leave the query image out")] = False,
    grid: Annotated[Path | None, typer.Option(help="write a picture of query and hits (PNG)")] = None,
) -> None:
    """What looks like IMAGE?"""
    given = {
        "k": k,
        "offset": offset,
        "model": model,
        "backend": backend,
        "min_similarity": min_similarity,
        "filter": None if filter is None else parse_params(filter, "--filter"),
        "params": parse_params(params),
        "exclude_self": exclude_self,
    }
    path = Path(image)
    image_id = None if path.is_file() or is_url(image) else _image_id(image)
    request = _request({**given, "image_id": image_id})
    with workspace() as at:
        at.galleries.get(gallery)
        data = None if image_id else at.fetch(image) if is_url(image) else path.read_bytes()
        response = search_gallery(at.serving.gallery(gallery), request, at.query, image=data)
        if grid is not None:
            from lookalike.pipeline.grid import draw_grid

            draw_grid(at, gallery, response, grid, query=data, query_id=image_id)
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
    table(rows, ["rank", "similarity", "key", "labels", "image_id"], value=response)


def is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _image_id(text: str) -> str:
    try:
        return parse_image_id(text)
    except InvalidRequest:
        raise InvalidRequest(f"{text!r:.300} is no file, no image_id and no URL", image=text) from None


def _request(given: Mapping[str, object]) -> SearchRequest:
    try:
        return SearchRequest.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidRequest(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error


def evaluate(
    gallery: str,
    protocol: Annotated[str, typer.Option(help="standard or paper")] = "standard",
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="once or several times")] = None,
    backend: Annotated[list[str] | None, typer.Option("--backend", "-b", help="once or several times")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="of protocol standard")] = 10,
    queries: Annotated[int | None, typer.Option(min=1, help="a seeded sample; default: every image")] = None,
    seed: Annotated[int, typer.Option(help="of the sample and of the confidence intervals")] = 0,
    self_counts: Annotated[bool, typer.Option(help="protocol paper: the query itself counts as a neighbour")] = False,
    report: Annotated[Path | None, typer.Option(help="write a report: .html, or .json")] = None,
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
        report.write_text(report_text(made.document, report.suffix), encoding="utf-8")
        note(f"wrote {report}")


def report_text(document: EvaluationDocument, suffix: str) -> str:
    """The report as JSON for ``.json``, else as one HTML page."""
    if suffix.lower() == ".json":
        return document.model_dump_json(indent=2) + "\n"
    from lookalike.evaluation.html import evaluation_html

    return evaluation_html(document)


def show(made: Evaluation) -> None:
    """The evaluation's table."""
    rows, columns = made.rows()
    table(rows, columns, value=made.document)
    if not rows:
        note("nothing was measured: no image of the gallery is embedded")


def register(app: typer.Typer) -> None:
    app.command()(search)
    app.command()(evaluate)
