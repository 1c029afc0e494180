"""Evaluations: run as jobs, kept in the store."""

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from lookalike.evaluation.html import evaluation_html
from lookalike.pipeline.evaluate import EvaluationDocument, evaluate_gallery, find_evaluation, list_evaluations
from services.gateway.state import At, Queue

router = APIRouter(prefix="/v1", tags=["evaluations"])


class EvaluationRequest(BaseModel):
    """``models`` and ``backends`` None: everything that is live."""

    model_config = ConfigDict(extra="forbid")

    protocol: Literal["standard", "paper"] = "standard"
    models: list[str] | None = None
    backends: list[str] | None = None
    k: int = Field(default=10, ge=1, le=1000)
    num_queries: int | None = Field(default=None, ge=1)
    seed: int = 0
    self_counts: bool = False


class Started(BaseModel):
    job: str


@router.post("/galleries/{gallery}/evaluations", status_code=202)
def evaluate(gallery: str, wanted: EvaluationRequest, at: At, queue: Queue) -> Started:
    """Measures the live (model, backend) pairs; the job's result is the evaluation."""
    at.galleries.get(gallery)
    return Started(
        job=queue.submit(
            "evaluate",
            gallery,
            lambda report: evaluate_gallery(at, gallery, report=report, **wanted.model_dump()).document,
        )
    )


@router.get("/evaluations")
def list_all(at: At) -> list[EvaluationDocument]:
    """Every evaluation, newest first."""
    return list_evaluations(at)


@router.get("/evaluations/{evaluation_id}")
def get_evaluation(evaluation_id: str, at: At) -> EvaluationDocument:
    """One evaluation."""
    return find_evaluation(at, evaluation_id)


@router.get("/evaluations/{evaluation_id}/report.html", response_class=HTMLResponse)
def report(evaluation_id: str, at: At) -> HTMLResponse:
    """One evaluation as a page of its own."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return HTMLResponse(
        evaluation_html(find_evaluation(at, evaluation_id)), headers={"Content-Security-Policy": policy}
    )
