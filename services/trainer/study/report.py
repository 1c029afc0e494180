"""A study as one HTML page that needs nothing else."""

from collections.abc import Iterator, Mapping

from lookalike.evaluation import policies
from lookalike.evaluation.labels import Level
from services.trainer.study.page import Picture, figure, page, paragraphs, table
from services.trainer.study.report_analysis import analysis_section, between_section
from services.trainer.study.result import ModelEntry, Row, StudyResult
from services.trainer.study.table import published_cell, with_interval


def study_html(result: StudyResult, pictures: Mapping[str, Picture]) -> str:
    """The report. ``pictures`` holds every file that ``result`` names, by its name; KeyError for a missing one."""
    return page(result.title, _sections(result, pictures))


def _sections(result: StudyResult, pictures: Mapping[str, Picture]) -> Iterator[tuple[str, str]]:
    yield "What was measured", paragraphs(_facts(result)) + _models(result) + _backends(result)
    yield "The table", "".join(_tables(result))
    yield "Findings", paragraphs(result.findings)
    for analysis in result.analyses:
        yield f"Between backends: {analysis.model}", analysis_section(analysis)
    if result.between_models is not None:
        yield "Between models, by three queries", between_section(result.between_models)
    yield "Retrieved images", "".join(_sheets(result.models, pictures))
    yield "Loss curves", "".join(_curves(result.models, pictures))
    yield "Subcategories", figure(pictures[result.histogram], f"{result.num_images} images by their single label")
    yield "How it was measured", "".join(_how(result))


def _facts(result: StudyResult) -> Iterator[str]:
    yield (
        f"{result.num_queries} queries against {result.num_images} images; {result.num_failed_images} files could not "
        f"be read. Seed {result.seed}, {result.created_at}, {result.machine}."
    )
    supers = ", ".join(f"{name} {count}" for name, count in result.supercategories.items())
    yield f"Images with a single label, by supercategory: {supers or 'none'}."
    missing = [entry.name for entry in result.models if entry.ref is None]
    if missing:
        yield f"Not measured, for the reasons below: {', '.join(missing)}."


def _models(result: StudyResult) -> str:
    columns = ("model", "how it came to be", "", "in the store", "D", "input", "embedded", "failed", "mean cosine")
    return table("Models", columns, (_model(entry) for entry in result.models), num_text=4)


def _model(entry: ModelEntry) -> tuple[str, ...]:
    if entry.ref is None:
        return (entry.name, entry.origin, entry.said, "–", "–", "–", "–", "–", "–")
    cosine = "–" if entry.mean_cosine is None else f"{entry.mean_cosine:.3f}"
    return (
        entry.name,
        entry.origin,
        entry.said,
        entry.ref,
        str(entry.dimension),
        f"{entry.input_size}, {entry.resize_policy}",
        str(entry.num_embedded),
        str(entry.num_failed),
        f"{cosine}, collapsed" if entry.collapsed else cosine,
    )


def _backends(result: StudyResult) -> str:
    rows = (
        (
            entry.name,
            entry.metric,
            ", ".join(f"{name} = {value}" for name, value in entry.params.items()),
            entry.unavailable_because or "measured",
        )
        for entry in result.backends
    )
    return table("Backends", ("backend", "metric", "built with", ""), rows, num_text=4)


def _tables(result: StudyResult) -> Iterator[str]:
    for protocol in policies.PROTOCOLS:
        for level in Level:
            chosen = [row for row in result.rows if (row.protocol, row.level) == (protocol, level.value)]
            columns = ["model", "backend", "precision@4", "recall@4"]
            if protocol == policies.PAPER:
                columns += ["the study's precision@4", "the study's recall@4"]
            columns += ["knn recall", "queries"]
            caption = f"Protocol {protocol}, {level.value}; means with 95 % intervals"
            yield table(caption, columns, (_line(row) for row in chosen), num_text=2)


def _line(row: Row) -> list[str]:
    cells = [row.model, row.backend, with_interval(row.precision), with_interval(row.recall)]
    if row.protocol == policies.PAPER:
        cells += [published_cell(row.study_precision), published_cell(row.study_recall)]
    return [*cells, f"{row.knn_recall:.4f}", str(row.num_scored)]


def _sheets(models: tuple[ModelEntry, ...], pictures: Mapping[str, Picture]) -> Iterator[str]:
    for entry in models:
        if entry.sheet is not None:
            yield figure(
                pictures[entry.sheet],
                f"{entry.name}: on the left the query, then what exact search finds, best first. Green frame: the same "
                "subcategory; orange: the same supercategory; red: neither.",
            )


def _curves(models: tuple[ModelEntry, ...], pictures: Mapping[str, Picture]) -> Iterator[str]:
    without = [entry.name for entry in models if entry.loss_curve is None]
    for entry in models:
        if entry.loss_curve is not None:
            yield figure(pictures[entry.loss_curve], f"{entry.name}: loss while it was trained")
    if without:
        yield paragraphs([f"Without a loss curve, not being trained here: {', '.join(without)}."])


def _how(result: StudyResult) -> Iterator[str]:
    for document in result.evaluations:
        yield paragraphs([f"Protocol {document.protocol}, evaluation {document.evaluation_id}:"])
        yield paragraphs(document.policies)
    yield paragraphs(
        [
            "Every search of the table went through the function that answers searches over HTTP: it fetches more "
            "candidates than are asked for and orders them by the cosine of the stored embeddings. What a library "
            "finds alone is measured apart, under approximation.",
            "The 2021 study's figures stand beside ours, under its own protocol, where they are given.",
            "Intervals are 95 % bootstrap percentile intervals over queries; those of differences resample the query "
            "with both its values.",
        ]
    )
