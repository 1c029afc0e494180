"""Evaluations: run as jobs, kept in the store."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from lookalike.evaluation.html import evaluation_html
from lookalike.pipeline.evaluate import EvaluationDocument, find_evaluation, list_evaluations
from lookalike.pipeline.job_kinds import EvaluateParams, JobKind, dump_params
from services.gateway.guarded_route import GuardedRoute
from services.gateway.state import App, At

router = APIRouter(prefix="/v1", tags=["evaluations"], route_class=GuardedRoute)
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"


class Started(BaseModel):
    """``job`` is the job_id; the job's result names the evaluation."""

    job: str


@router.post("/galleries/{gallery}/evaluations", status_code=202)
def evaluate(gallery: str, wanted: EvaluateParams, app: App) -> Started:
    """Measures live (model, backend) pairs with images of the gallery as queries, as a job."""
    return Started(job=app.submit(JobKind.EVALUATE, gallery, {**dump_params(wanted)}).job_id)


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
    page = evaluation_html(find_evaluation(at, evaluation_id))
    return HTMLResponse(page, headers={"Content-Security-Policy": _REPORT_POLICY})
