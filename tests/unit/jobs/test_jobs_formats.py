"""What a later version wrote is told from what is damaged, and fails nobody's job."""

import json
from pathlib import Path

import pytest

from lookalike.catalog import keys
from lookalike.errors import DamagedArtifact, NewerFormat
from lookalike.jobs.formats import FORMAT
from lookalike.jobs.port import Job
from lookalike.jobs.records import JobDocument, JobRecords
from lookalike.storage.local import LocalStore

JOB = Job(job_id="6f2b7ad4-6f0e-4c68-a7f4-3d7c8a3e3d55", kind="embed", gallery="g", created_at="2026-11-25T00:00:00Z")


@pytest.fixture
def records(tmp_path: Path) -> JobRecords:
    return JobRecords(LocalStore(tmp_path))


def written(records: JobRecords, **changes: object) -> None:
    document = json.loads(JobDocument(owner="queue", job=JOB).model_dump_json())
    records.store.put(keys.job(JOB.job_id), json.dumps({**document, **changes}).encode())


def test_a_later_format_is_named_whatever_else_is_in_it(records: JobRecords) -> None:
    written(records, format=FORMAT + 1, unheard_of=True)
    with pytest.raises(NewerFormat, match=f"format {FORMAT + 1}"):
        records.get(JOB.job_id)
    with pytest.raises(NewerFormat):
        records.change(JOB.job_id, lambda document: document)
    assert list(records.list()) == []


def test_the_same_format_with_an_unknown_field_is_damaged(records: JobRecords) -> None:
    written(records, unheard_of=True)
    with pytest.raises(DamagedArtifact):
        records.get(JOB.job_id)


def test_a_document_from_before_formats_is_of_the_first(records: JobRecords) -> None:
    document = json.loads(JobDocument(owner="queue", job=JOB).model_dump_json())
    del document["format"]
    records.store.put(keys.job(JOB.job_id), json.dumps(document).encode())
    assert records.get(JOB.job_id).job == JOB
