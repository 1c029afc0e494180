"""Traces as a collector gets them over the wire: from who asks, through a queue, to who works."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from otlp_collector import CollectedSpan, Collector, collecting
from telemetry_settings import Configured

from lookalike.errors import ImageNotFound
from lookalike.telemetry import tasks, tracing
from lookalike.telemetry.context import carried
from lookalike.telemetry.stages import stage


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


def by_name(spans: list[CollectedSpan]) -> dict[str, CollectedSpan]:
    found = {span.name: span for span in spans}
    assert len(found) == len(spans)
    return found


def test_one_trace_from_a_request_through_a_queue_to_a_stage(collector: Collector, configured: Configured) -> None:
    stop = tracing.configure_tracing(configured(telemetry__otlp_endpoint=collector.url), "worker")
    with tracing.span("POST /v1/jobs", kind=tracing.SpanKind.SERVER):
        asked = tracing.trace_id()
        with tasks.enqueueing("embed", "embed part", job_id="j") as headers:
            pass
    assert tracing.trace_id() is None
    assert set(headers) == {"traceparent"}
    with (
        tasks.working("embed", "embed part", headers, job_id="j", part_id="p"),
        stage("embed", gallery="g"),
        ThreadPoolExecutor(1) as pool,
    ):
        assert pool.submit(carried(tracing.trace_id)).result() == asked
    stop()
    spans = by_name(collector.spans)
    assert {span.trace_id for span in spans.values()} == {asked}
    request, enqueue = spans["POST /v1/jobs"], spans["enqueue embed part"]
    task, inner = spans["embed part"], spans["stage embed"]
    kinds = [span.kind for span in (request, enqueue, task, inner)]
    assert kinds == ["SERVER", "PRODUCER", "CONSUMER", "INTERNAL"]
    assert request.parent_id == ""
    chain = [enqueue.parent_id, task.parent_id, inner.parent_id]
    assert chain == [request.span_id, enqueue.span_id, task.span_id]
    assert task.attributes == {"queue": "embed", "job.id": "j"}
    assert inner.attributes == {"gallery": "g"}
    assert {span.service for span in spans.values()} == {"lookalike-worker"}


def test_a_span_that_failed_has_the_code_and_not_the_text(collector: Collector, configured: Configured) -> None:
    stop = tracing.configure_tracing(configured(telemetry__otlp_endpoint=f"{collector.url}/"), "gateway")
    with pytest.raises(ImageNotFound), tracing.span("ours"):
        raise ImageNotFound("no https://bucket.example/a.jpg?secret")
    with pytest.raises(ZeroDivisionError), tracing.span("not ours"):
        raise ZeroDivisionError("secret")
    stop()
    spans = by_name(collector.spans)
    assert all(span.failed for span in spans.values())
    assert spans["ours"].attributes == {"error.type": "image_not_found"}
    assert spans["not ours"].attributes == {"error.type": "ZeroDivisionError"}
    assert "secret" not in str(spans)


def test_what_is_no_trace_is_not_continued(collector: Collector, configured: Configured) -> None:
    stop = tracing.configure_tracing(configured(telemetry__otlp_endpoint=collector.url), "gateway")
    for number, headers in enumerate(
        ({}, {"traceparent": "nonsense"}, {"traceparent": f"00-{'0' * 32}-{'0' * 16}-01"})
    ):
        with tracing.extract(headers), tracing.span(str(number)):
            pass
    stop()
    assert [span.parent_id for span in collector.spans] == ["", "", ""]
    assert len({span.trace_id for span in collector.spans}) == 3


def test_a_collector_that_is_away_stops_nothing(configured: Configured, caplog: pytest.LogCaptureFixture) -> None:
    stop = tracing.configure_tracing(configured(telemetry__otlp_endpoint="http://127.0.0.1:1"), "gateway")
    with tracing.span("nobody will know"):
        pass
    stop()
    assert any(record.name.startswith("opentelemetry") for record in caplog.records)
