"""The gateway holds what its own OpenAPI document says, whatever it is sent, and never fails by its own fault.

Requests are generated from the document; about half of them name what exists, so that they get beyond the first
refusal. The document itself is checked too: what it does not declare, no answer may be.
"""

import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from fastapi.testclient import TestClient
from gateway_store import MAX_BODY_BYTES, at, settings_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import one_of
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lookalike.bootstrap import wire_jobs
from services.gateway.app import create_app

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 25  # of each operation
RIGHT_AND_WRONG = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
exists: dict[str, str] = {"gallery": "colors", "model": "color_edges@1"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[BaseSchema]:
    folder = tmp_path_factory.mktemp("api")
    shutil.copytree(prepared / "store", folder / "store")
    workspace = at(folder)
    app = create_app(workspace, wire_jobs(settings_of(folder), workspace), max_body_bytes=MAX_BODY_BYTES)
    with TestClient(app) as client:
        images = client.get("/v1/galleries/colors/images").json()["images"]
        job = client.post("/v1/galleries/colors/evaluations", json={"k": 3, "num_queries": 2}).json()["job"]
        ended = wire_wait(client, job)
        exists.update(image_id=images[0]["image_id"], job_id=job, evaluation_id=ended["result"]["evaluation_id"])
        yield schemathesis.openapi.from_asgi("/openapi.json", app)
    workspace.close()


def wire_wait(client: TestClient, job: str) -> dict[str, dict[str, str]]:
    client.app.state.gateway.jobs.wait(job, timeout_s=60)  # type: ignore[attr-defined]
    ended: dict[str, dict[str, str]] = client.get(f"/v1/jobs/{job}").json()
    return ended


def test_every_answer_is_declared(api: BaseSchema, subtests: pytest.Subtests) -> None:
    for found in api.get_all_operations():
        operation = found.ok()

        @given(case=one_of([operation.as_strategy(generation_mode=mode) for mode in RIGHT_AND_WRONG]))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        def check(case: schemathesis.Case) -> None:
            deletes_the_gallery = case.method == "DELETE" and case.path == "/v1/galleries/{gallery}"
            given_names = case.path_parameters or {}
            for name, value in exists.items():
                said = repr((given_names, case.query)).encode()
                if name in given_names and not deletes_the_gallery and zlib.crc32(said) % 4:
                    given_names[name] = value
            case.call_and_validate(checks=CHECKS)

        with subtests.test(operation.label):
            check()
