"""Event streams hold no thread: more clients than threads, and everything else is still answered."""

import asyncio
import threading
from pathlib import Path

import httpx
from gateway_store import at

from lookalike.jobs.inline import InlineJobs
from lookalike.jobs.port import JobRequest
from lookalike.jobs.rates import JobRates
from lookalike.pipeline.progress import Report
from services.gateway.app import create_app
from services.gateway.routes.jobs import job_stream

CLIENTS, THREADS = 60, 2


def test_many_streams_and_few_threads(tmp_path: Path) -> None:
    workspace = at(tmp_path)
    go_on = threading.Event()

    def run(request: JobRequest, report: Report) -> dict[str, object]:
        assert go_on.wait(30)
        return {}

    jobs = InlineJobs(workspace.store, tmp_path / "locks", run)
    job = jobs.submit(JobRequest(kind="embed", gallery="g"))
    app = create_app(workspace, jobs, threads=THREADS)

    async def follow(begun: asyncio.Semaphore) -> list[str]:
        told = []
        async for event in job_stream(jobs, jobs.get(job.job_id), JobRates()):
            if not told:
                begun.release()
            told.append(event)
        return told

    async def everything() -> list[list[str]]:
        async with app.router.lifespan_context(app):
            begun = asyncio.Semaphore(0)
            streams = [asyncio.create_task(follow(begun)) for _ in range(CLIENTS)]
            for _ in streams:
                await begun.acquire()
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                for path in ("/readyz", "/v1/galleries", f"/v1/jobs/{job.job_id}"):
                    answer = await asyncio.wait_for(client.get(path), 20)
                    assert answer.status_code == 200
            go_on.set()
            return await asyncio.wait_for(asyncio.gather(*streams), 30)

    told = asyncio.run(everything())
    assert all('"state":"succeeded"' in one[-1] for one in told)
    workspace.close()
