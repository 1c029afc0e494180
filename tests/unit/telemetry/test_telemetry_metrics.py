"""Every metric is declared once and well; a process counts when it shows, and needs nothing until then."""

import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest
from telemetry_settings import Configured

from lookalike.errors import ImageNotFound
from lookalike.telemetry import declared, tasks
from lookalike.telemetry.declared import Kind, Metric
from lookalike.telemetry.metrics import PROCESS, Recorder, exposed
from lookalike.telemetry.stages import stage, timed
from lookalike.telemetry.worker_http import Receiving, serve_worker

LABELS = {
    "method",
    "route",
    "status",
    "stage",
    "model",
    "backend",
    "gallery",
    "state",
    "queue",
    "outcome",
    "code",
    "op",
    "action",
}


def shown(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def value(text: str, sample: str) -> float:
    found = re.search(rf"^{re.escape(sample)} ([0-9.e+-]+)$", text, re.MULTILINE)
    return 0.0 if found is None else float(found[1])


def test_every_declared_metric_is_in_one_group_and_none_is_forgotten() -> None:
    in_module = [one for one in vars(declared).values() if isinstance(one, Metric)]
    assert sorted(metric.name for metric in in_module) == sorted(metric.name for metric in declared.ALL)
    assert len({metric.name for metric in declared.ALL}) == len(declared.ALL)


@pytest.mark.parametrize("metric", declared.ALL, ids=lambda metric: metric.name)
def test_a_declaration_is_complete(metric: Metric) -> None:
    assert re.fullmatch(r"lookalike_[a-z_]+", metric.name)
    assert not metric.name.endswith("_total")
    assert metric.help.endswith(".")
    assert set(metric.labels) <= LABELS  # a new one must have few values: no key, no id, no path
    assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_a_recorder_counts_from_its_start_on() -> None:
    recorder = Recorder(declared.ALL)
    recorder.count(declared.STORE_CALLS, op="get", outcome="ok")
    registry = recorder.start()
    assert recorder.start() is registry
    for metric in declared.ALL:
        labels = dict.fromkeys(metric.labels, "x")
        match metric.kind:
            case Kind.COUNTER:
                recorder.count(metric, 2, **labels)
            case Kind.GAUGE:
                recorder.set(metric, 7, **labels)
            case Kind.HISTOGRAM:
                recorder.observe(metric, 0.5, **labels)
    for metric in declared.ALL:
        labels = dict.fromkeys(metric.labels, "x")
        suffix = "_count" if metric.kind is Kind.HISTOGRAM else ""
        wanted = {Kind.COUNTER: 2, Kind.GAUGE: 7, Kind.HISTOGRAM: 1}[metric.kind]
        assert registry.get_sample_value(f"{metric.exposed}{suffix}", labels) == wanted, metric.name


def test_many_threads_start_and_count_together() -> None:
    recorder = Recorder(declared.CACHE)

    def count() -> None:
        recorder.start()
        for _ in range(100):
            recorder.count(declared.CACHE_EVICTIONS)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.start().get_sample_value(declared.CACHE_EVICTIONS.exposed) == 800


def test_a_worker_shows_its_stages_and_tasks_on_a_port_of_their_own(configured: Configured) -> None:
    server = serve_worker(configured(telemetry__metrics_port="0"), Receiving())
    assert server is not None
    try:
        before = shown(server.port)
        with timed("decode"), stage("build", gallery="g", backend="faiss"):
            pass
        with pytest.raises(ZeroDivisionError), timed("decode"):
            raise ZeroDivisionError
        with tasks.enqueueing("index", "build", job_id="j") as headers:
            assert headers == {}
        with tasks.working("index", "build", headers, job_id="j"):
            pass
        with pytest.raises(ImageNotFound), tasks.working("index", "build", headers, job_id="j"):
            raise ImageNotFound("no such image")
        tasks.retried("index")
        after = shown(server.port)
    finally:
        server.close()

    def grew(sample: str) -> float:
        return value(after, sample) - value(before, sample)

    count = "lookalike_stage_seconds_count"
    assert grew(f'{count}{{backend="",outcome="ok",stage="decode"}}') == 1
    assert grew(f'{count}{{backend="",outcome="failed",stage="decode"}}') == 1
    assert grew(f'{count}{{backend="faiss",outcome="ok",stage="build"}}') == 1
    for name, number in (("enqueued", 1), ("started", 2), ("retried", 1)):
        assert grew(f'lookalike_tasks_{name}_total{{queue="index"}}') == number
    assert grew('lookalike_tasks_finished_total{outcome="ok",queue="index"}') == 1
    assert grew('lookalike_tasks_finished_total{outcome="image_not_found",queue="index"}') == 1
    assert grew('lookalike_task_seconds_count{queue="index"}') == 2
    assert "process_resident_memory_bytes" in after


def test_a_worker_lives_whatever_is_away_and_is_ready_while_messages_reach_it(configured: Configured) -> None:
    receiving = Receiving()
    server = serve_worker(configured(telemetry__metrics_port="0"), receiving)
    assert server is not None
    try:
        assert (probed(server.port, "/healthz"), probed(server.port, "/readyz")) == (200, 503)
        receiving.begin()
        assert (probed(server.port, "/healthz"), probed(server.port, "/readyz?now")) == (200, 200)
        receiving.end()
        assert (probed(server.port, "/readyz"), probed(server.port, "/other")) == (503, 404)
        head = urllib.request.Request(f"http://127.0.0.1:{server.port}/healthz", method="HEAD")
        with urllib.request.urlopen(head, timeout=30) as answer:
            assert answer.headers["Server"] == "lookalike"
    finally:
        server.close()


def probed(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_no_port_no_server(configured: Configured) -> None:
    assert serve_worker(configured(), Receiving()) is None


def test_what_a_process_shows_has_each_name_once() -> None:
    own = Recorder(declared.HTTP)
    names = [family.name for family in exposed(own).collect()]
    assert len(names) == len(set(names))
    assert {metric.name for metric in (*declared.HTTP, *declared.PROCESS_WIDE)} <= set(names)
    assert PROCESS.start() is PROCESS.start()


def test_what_is_off_imports_nothing() -> None:
    program = """
import sys
from lookalike.settings import Settings
from lookalike.telemetry import declared, tracing
from lookalike.telemetry.metrics import PROCESS
from lookalike.telemetry.worker_http import Receiving, serve_worker
from lookalike.telemetry.process import observed
from lookalike.telemetry.stages import stage
from lookalike.telemetry.asgi import ObserveRequests
with observed(Settings(), "worker"), stage("embed", gallery="g"), tracing.span("x"), tracing.extract({}):
    PROCESS.count(declared.IMAGES_EMBEDDED, 3)
    assert serve_worker(Settings(), Receiving()) is None
    assert tracing.inject() == {}
heavy = {name.partition(".")[0] for name in sys.modules} & {"prometheus_client", "opentelemetry", "starlette"}
sys.exit(str(heavy) if heavy else 0)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("missing", "program", "extra"),
    [
        ("prometheus_client", "from lookalike.telemetry.metrics import exposed as start; start()", "metrics"),
        (
            "opentelemetry",
            "from lookalike.telemetry.tracing import configure_tracing as start; start(settings, 'worker')",
            "tracing",
        ),
    ],
)
def test_what_is_wanted_and_not_installed_is_named(missing: str, program: str, extra: str) -> None:
    text = f"""
import sys
sys.modules[{missing!r}] = None
from lookalike.errors import MissingExtra
from lookalike.settings import Settings, TelemetrySettings
settings = Settings(telemetry=TelemetrySettings(otlp_endpoint="http://127.0.0.1:9"))
try:
    {program}
except MissingExtra as error:
    sys.exit(0 if "lookalike[{extra}]" in error.message else error.message)
sys.exit("nothing was missed")
"""
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
