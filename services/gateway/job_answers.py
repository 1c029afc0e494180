"""A job as HTTP gives it: with how fast it goes and how long its stage will take."""

from pydantic import BaseModel, Field

from lookalike.jobs.port import Job, JobSummary
from lookalike.jobs.rates import JobRates, images_per_s


class _Paced(BaseModel):
    images_per_s: float | None = Field(
        default=None, description="while a stage that counts images runs; null until it is known"
    )
    eta_s: float | None = Field(
        default=None, description="seconds until the present stage is done, estimated; null until it is known"
    )


class JobAnswer(Job, _Paced):
    """A job with its parameters and its pace."""


class JobSummaryAnswer(JobSummary, _Paced):
    """A job without its parameters, with its pace."""


def paced(rates: JobRates, job: Job) -> JobAnswer:
    """``job`` with the pace that this process saw."""
    found = rates.of(job)
    return JobAnswer.model_construct(
        **job.__dict__, images_per_s=_rounded(images_per_s(job, found)), eta_s=_rounded(found.eta_s)
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
