"""One trace from the gateway's process to the embedder's, as a collector gets it over the wire, and one request id."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import pytest
from gateway_calls import SEARCH, png
from gateway_store import at
from otlp_collector import CollectedSpan, Collector, collecting

from lookalike.pipeline.models import export_archive

TIMEOUT_S = 180


@contextmanager
def serving(module: str, *arguments: str, env: Mapping[str, str], log: list[str]) -> Iterator[str]:
    """A process that serves; its address. Everything that it prints comes to ``log``."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    overdue = threading.Timer(TIMEOUT_S, process.kill)
    overdue.start()
    assert process.stdout is not None
    draining = threading.Thread(target=_drain, args=(process.stdout, log, listening := threading.Event()))
    draining.start()
    try:
        assert listening.wait(TIMEOUT_S), log
        found = re.search(r"http://127\.0\.0\.1:\d+", "".join(log))
        assert found, log
        yield found[0]
    finally:
        process.terminate()
        process.wait()
        overdue.cancel()
        draining.join()
        process.stdout.close()


def _drain(printed: IO[str], log: list[str], listening: threading.Event) -> None:
    for line in printed:
        log.append(line)
        if "http://127.0.0.1:" in line:
            listening.set()
    listening.set()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


TRACE = "ab" * 16


def posts_of_the_client(spans: list[CollectedSpan]) -> dict[tuple[str, str], CollectedSpan]:
    """Those of the trace that the client began: the gateway embeds an image of its own when it starts."""
    posts = [span for span in spans if span.attributes.get("http.request.method") == "POST"]
    return {(span.service, span.kind): span for span in posts if span.trace_id == TRACE}


def is_complete(spans: list[CollectedSpan]) -> bool:
    return posts_of_the_client(spans).keys() >= {
        ("lookalike-gateway", "SERVER"),
        ("lookalike-gateway", "CLIENT"),
        ("lookalike-embedder", "SERVER"),
    }


def test_a_search_by_upload_is_one_trace_over_both(tmp_path: Path, prepared: Path, collector: Collector) -> None:
    shutil.copytree(prepared / "store", tmp_path / "store")
    workspace = at(tmp_path)
    export_archive(workspace, "color_edges", tmp_path / "model.mar")
    workspace.close()
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")},
        "PYTHONUNBUFFERED": "1",
        "LOOKALIKE_STORAGE__FOLDER": str(tmp_path / "store"),
        "LOOKALIKE_STORAGE__CACHE": str(tmp_path / "cache"),
        "LOOKALIKE_GATEWAY__PORT": "0",
        "LOOKALIKE_TELEMETRY__OTLP_ENDPOINT": collector.url,
        "LOOKALIKE_TELEMETRY__LOG_LEVEL": "info",
    }
    logs: tuple[list[str], list[str]] = ([], [])
    with (
        serving("services.embedder", str(tmp_path / "model.mar"), "--port", "0", env=env, log=logs[1]) as embedder,
        serving("services.gateway", env={**env, "LOOKALIKE_EMBEDDER__URL": embedder}, log=logs[0]) as gateway,
    ):
        files = {"image": ("query.png", png())}
        said = {"request": '{"backend": "exact"}'}
        headers = {"X-Request-ID": "traced-1", "traceparent": f"00-{TRACE}-{'cd' * 8}-01"}
        answer = httpx.post(f"{gateway}{SEARCH}", files=files, data=said, headers=headers, timeout=TIMEOUT_S)
        assert answer.status_code == 200, answer.text
        shown = httpx.get(f"{embedder}/metrics", timeout=TIMEOUT_S).text
    spans = collector.wait_for(is_complete, TIMEOUT_S)
    posts = posts_of_the_client(spans)
    asked = posts["lookalike-gateway", "SERVER"]
    passed_on = posts["lookalike-gateway", "CLIENT"]
    embedded = posts["lookalike-embedder", "SERVER"]
    assert asked.parent_id == "cd" * 8
    assert passed_on.parent_id == asked.span_id
    assert embedded.parent_id == passed_on.span_id
    assert asked.name == "POST /v1/galleries/{gallery}/search"
    assert embedded.attributes["http.route"] == "/v1/models/{name}/embeddings"
    assert embedded.attributes["http.response.status_code"] == "200"
    for log in logs:
        assert any("request_id=traced-1" in line and f"trace_id={TRACE}" in line for line in log), log
    route = 'method="POST",route="/v1/models/{name}/embeddings"'
    # The search and, perhaps not yet, the gateway's own image.
    assert re.search(rf'lookalike_http_requests_total{{{re.escape(route)},status="200"}} [12]\.0', shown)
    assert re.search(r'lookalike_stage_seconds_count{backend="",outcome="ok",stage="embed"} [12]\.0', shown)
