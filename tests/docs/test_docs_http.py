"""The reference of the HTTP interface is complete, and the published OpenAPI document is that of the code."""

import json
import re
from pathlib import Path

import pytest

from lookalike.pipeline.job_kinds import PARAMS, JobKind
from services.gateway.openapi import document

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def generated() -> str:
    return document()


@pytest.fixture(scope="module")
def page() -> str:
    return (REFERENCE / "http.md").read_text(encoding="utf-8")


def test_the_published_document_is_what_the_code_generates(generated: str) -> None:
    published = (REFERENCE / "openapi.json").read_text(encoding="utf-8")
    assert published == generated, "python -m services.gateway.openapi > docs/reference/openapi.json"


def test_every_endpoint_is_in_the_reference_and_no_other(generated: str, page: str) -> None:
    paths = json.loads(generated)["paths"]
    existing = {f"{method.upper()} {path}" for path, item in paths.items() for method in METHODS if method in item}
    described = set(re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", page, re.MULTILINE))
    assert described == existing


def test_every_operation_says_what_it_does_and_declares_its_errors(generated: str) -> None:
    found = json.loads(generated)
    for path, item in found["paths"].items():
        for method, operation in item.items():
            assert operation["description"], (method, path)
            assert "default" in operation["responses"], (method, path)
    references = re.findall(r'"#/components/schemas/([^"]+)"', generated)
    assert set(references) <= set(found["components"]["schemas"])


def test_every_kind_of_job_is_in_the_reference_with_its_parameters(page: str) -> None:
    rows = dict(re.findall(r"^\| `([a-z]+)` \| (.*) \|$", page, re.MULTILINE))
    assert rows.keys() == {kind.value for kind in JobKind}
    for kind, model in PARAMS.items():
        if kind is not JobKind.EVALUATE:  # its parameters are named at the evaluations
            assert all(f"`{name}" in rows[kind] for name in model.model_fields), kind
    evaluation = next(line for line in page.splitlines() if "/evaluations` |" in line)
    assert all(f"`{name}`" in evaluation for name in PARAMS[JobKind.EVALUATE].model_fields)
