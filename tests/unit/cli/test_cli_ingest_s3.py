"""ingest of a bucket, and a job that names one: only those that a setting allows."""

import io
from pathlib import Path

import pytest
from cli_outcome import Cli
from minio import Minio
from PIL import Image
from real_servers import ACCESS_KEY, SECRET_KEY, SwiftServer

BUCKET = "lookalike-photographs"


@pytest.fixture
def prefix(swift_server: SwiftServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three pictures below a prefix of their own, on the server that the settings name."""
    client = Minio(f"127.0.0.1:{swift_server.port}", ACCESS_KEY, SECRET_KEY, secure=False)
    if not client.bucket_exists(BUCKET):
        client.make_bucket(BUCKET)
    for color in ("red", "green", "blue"):
        file = io.BytesIO()
        Image.new("RGB", (40, 30), color).save(file, "PNG")
        data = file.getvalue()
        client.put_object(BUCKET, f"{tmp_path.name}/{color}/1.png", io.BytesIO(data), len(data))
    monkeypatch.setenv("LOOKALIKE_STORAGE__S3_ENDPOINT", swift_server.url)
    monkeypatch.setenv("LOOKALIKE_STORAGE__S3_REGION", "us-east-1")
    monkeypatch.setenv("LOOKALIKE_STORAGE__S3_ACCESS_KEY", ACCESS_KEY)
    monkeypatch.setenv("LOOKALIKE_STORAGE__S3_SECRET_KEY", SECRET_KEY)
    return f"s3://{BUCKET}/{tmp_path.name}"


def test_a_bucket_is_a_source(cli: Cli, prefix: str) -> None:
    made = cli("ingest", "trips", prefix)
    assert made.out == "3 images in trips: 3 added, 0 updated, 0 unchanged, 0 removed, 0 failed\n"
    assert cli("ingest", "trips", prefix, "--json").document["unchanged"] == 3
    shown = cli("gallery", "show", "trips", "--json").document
    assert shown["labels"]["subcategory"] == {"blue": 1, "green": 1, "red": 1}
    assert "there is nothing below" in cli("ingest", "trips", f"{prefix}/none").error


def test_a_job_reads_only_the_buckets_that_are_allowed(cli: Cli, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ("jobs", "submit", "ingest", "trips", "--params", f'{{"source": "{prefix}"}}')
    refused = cli(*job)
    assert (refused.status, refused.error) == (2, "the server reads no such bucket for a client")
    monkeypatch.setenv("LOOKALIKE_JOBS__SOURCE_BUCKETS", f"others,{BUCKET}")
    assert cli(*job, "--json").document["result"]["added"] == 3
    refused = cli("jobs", "submit", "ingest", "trips", "--params", '{"source": "s3://elsewhere/trips"}')
    assert (refused.status, refused.error) == (2, "the server reads no such bucket for a client")
