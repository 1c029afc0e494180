"""Settings -> the steps of a new deployment, in their order."""

from collections.abc import Iterator
from functools import partial

from lookalike.bootstrap import queue_depths, s3_server, wire, wire_jobs
from lookalike.bootstrap_health import server_checks
from lookalike.errors import DependencyUnavailable
from lookalike.pipeline.progress import Report
from lookalike.pipeline.setup import SetupStep, StepState, check_server, register_house, set_up_demo
from lookalike.pipeline.waiting import wait_for
from lookalike.settings import Settings, StorageSettings

_MEANWHILE = {
    "queue": "jobs wait in the store until it does",
    "qdrant": "the other backends go on without it",
    "embedder": "nothing is embedded until it does",
}


def set_up(settings: Settings, *, demo: bool, make_bucket: bool, wait_s: float, report: Report) -> Iterator[SetupStep]:
    """Yields each step as it is done.

    Raises DependencyUnavailable when the store does not answer within ``wait_s`` seconds, has no such bucket and none
    may be made, or refuses our keys; CapabilityMissing for a store on which two could destroy each other's work.
    """
    yield wait_for("the store", partial(prepare_store, settings.storage, make_bucket=make_bucket), limit_s=wait_s)
    workspace = wire(settings)
    try:
        yield register_house(workspace)
        with queue_depths(settings) as depths:
            checks = {**({} if depths is None else {"queue": depths}), **server_checks(settings)}
            for name, ask in checks.items():
                yield check_server(name, ask, _MEANWHILE[name])
        if demo:
            jobs = None if settings.queue.url is None else wire_jobs(settings, workspace)
            try:
                model, backends = settings.embedder.default_model, settings.build.backends
                yield set_up_demo(workspace, jobs, model=model, backends=backends, report=report)
            finally:
                if jobs is not None:
                    jobs.close()
    finally:
        workspace.close()


def prepare_store(said: StorageSettings, *, make_bucket: bool) -> SetupStep:
    """Makes the bucket where it is missing, and tries which conditional writes the server keeps.

    Raises DependencyUnavailable, CapabilityMissing, or InvalidRequest for a name that no bucket has.
    """
    if said.url is None:
        said.folder.mkdir(parents=True, exist_ok=True)
        message = "a folder of this machine; conditional writes by file locks"
        return SetupStep(step="store", state=StepState.DONE, message=message)
    from lookalike.storage.s3_bucket import S3Bucket, parse_url
    from lookalike.storage.s3_conditional import probe

    bucket = S3Bucket(s3_server(said), *parse_url(said.url))
    try:
        is_there = bucket.exists()
        if not is_there and not make_bucket:
            raise DependencyUnavailable(f"{said.s3_endpoint} has no bucket {bucket.name!r}", dependency="store")
        if not is_there:
            bucket.make()
        ways = {"native": "If-Match of the server", "claims": "claims, since the server keeps only If-None-Match"}
        means = said.s3_conditional if said.s3_conditional != "auto" else probe(bucket)
        made = "" if is_there else "made "
        where = f"{made}bucket {bucket.name!r} at {said.s3_endpoint}"
        state = StepState.UNCHANGED if is_there else StepState.DONE
        return SetupStep(step="store", state=state, message=f"{where}; conditional writes by {ways[means]}")
    finally:
        bucket.close()
