"""What the endpoints work with."""

from typing import Annotated, cast

from fastapi import Depends, Request

from lookalike.jobs.port import Jobs
from lookalike.pipeline.workspace import Workspace


def _workspace(request: Request) -> Workspace:
    return cast(Workspace, request.app.state.workspace)


def _jobs(request: Request) -> Jobs:
    return cast(Jobs, request.app.state.jobs)


At = Annotated[Workspace, Depends(_workspace)]
Queue = Annotated[Jobs, Depends(_jobs)]
