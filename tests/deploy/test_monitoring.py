"""Alerts and dashboards ask for what is really counted; what is written from other files is up to date."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from deploy.checks.build import DEPLOY, Combination
from deploy.monitoring.dashboards import ALL as DASHBOARDS
from deploy.monitoring.panels import WIDTH, expressions, grafana
from deploy.monitoring.write import RULES, written
from lookalike.telemetry import declared
from lookalike.telemetry.declared import Kind, Metric

MONITORING, DOCS = DEPLOY / "monitoring", DEPLOY.parent / "docs"
# What is not ours, by who shows it.
OTHERS = {
    "prometheus": {"up"},
    "prometheus_client": {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"},
    "kube-state-metrics": {
        "kube_pod_container_resource_limits",
        "kube_pod_container_status_restarts_total",
        "kube_job_status_failed",
        "kube_cronjob_status_last_successful_time",
    },
    "kubelet": {
        "container_memory_working_set_bytes",
        "kubelet_volume_stats_available_bytes",
        "kubelet_volume_stats_capacity_bytes",
    },
    "qdrant": {
        "app_status_recovery_mode",
        "cluster_peers_total",
        "cluster_pending_operations_total",
        "rest_responses_total",
    },
    "minio": {"minio_cluster_capacity_usable_free_bytes"},
    "torchserve": {
        "GPUMemoryUtilization",
        "GPUUtilization",
        "MemoryUtilization",
        "ts_inference_latency_microseconds",
        "ts_inference_requests_total",
        "ts_queue_latency_microseconds",
    },
}
_SERIES = {Kind.COUNTER: ("_total",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}
OURS: dict[str, Metric] = {f"{one.name}{end}": one for one in declared.ALL for end in _SERIES[one.kind]}
_TARGET_LABELS = {"job", "instance", "le"}


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> Iterator[tuple[str, str]]:
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for dashboard in DASHBOARDS:
        for expression in expressions(dashboard):
            yield dashboard.uid, expression.replace("$__rate_interval", "5m").replace("$__interval", "1m")


def selectors(expression: Any) -> Iterator[Any]:
    """Every selector of series in a parsed expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    elif isinstance(expression, promql_parser.MatrixSelector):
        yield expression.vector_selector
    elif isinstance(expression, promql_parser.Call):
        for argument in expression.args:
            yield from selectors(argument)
    elif isinstance(expression, promql_parser.BinaryExpr):
        yield from selectors(expression.lhs)
        yield from selectors(expression.rhs)
    elif isinstance(expression, (promql_parser.AggregateExpr, promql_parser.ParenExpr, promql_parser.SubqueryExpr)):
        yield from selectors(expression.expr)
    else:
        assert isinstance(expression, (promql_parser.NumberLiteral, promql_parser.StringLiteral)), type(expression)


def grouped_by(text: str) -> set[str]:
    return {label.strip() for labels in re.findall(r"\bby ?\(([^)]*)\)", text) for label in labels.split(",")}


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_a_query_asks_for_what_is_counted(where: str, query: str) -> None:
    found = list(selectors(promql_parser.parse(query)))
    assert found
    labels: set[str] = set()
    for selector in found:
        others = {name for names in OTHERS.values() for name in names}
        assert selector.name in OURS.keys() | others, f"{where}: {selector.name}"
        if selector.name in OURS:
            known = {*OURS[selector.name].labels, *_TARGET_LABELS}
            assert {matcher.name for matcher in selector.matchers.matchers} <= known, f"{where}: {query}"
            labels |= known
    if labels and not any(selector.name not in OURS for selector in found):
        assert grouped_by(query) <= labels, f"{where}: {query}"


def test_every_metric_of_ours_is_looked_at() -> None:
    asked = {selector.name for _, query in queries() for selector in selectors(promql_parser.parse(query))}
    unseen = {metric.exposed for name, metric in OURS.items()} - {OURS[name].exposed for name in asked & OURS.keys()}
    assert unseen == set()


def test_torchserve_counts_what_we_ask_it_for() -> None:
    ts = pytest.importorskip("ts", reason="TorchServe: runs where it is installed beside the tests")
    said = yaml.safe_load((Path(ts.__file__).parent / "configs" / "metrics.yaml").read_text(encoding="utf-8"))
    shown = {one["name"] for part in ("ts_metrics", "model_metrics") for kind in said[part].values() for one in kind}
    assert OTHERS["torchserve"] <= shown


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_means(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"Lookalike[A-Z][A-Za-z]+", rule["alert"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description"}
    page = (DOCS / "how-to" / "monitor.md").read_text(encoding="utf-8")
    assert len(re.findall(rf"^\| `{rule['alert']}` \|", page, re.MULTILINE)) == 1


def test_the_page_describes_no_alert_that_is_gone() -> None:
    page = (DOCS / "how-to" / "monitor.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(Lookalike\w+)`", page)) == {rule["alert"] for rule in alerts()}


def test_what_is_written_is_what_it_is_written_from() -> None:
    for path, content in written().items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name} is old: make monitoring"
    assert {path for path in written() if path.suffix == ".json"} == set((MONITORING / "grafana").rglob("*.json"))


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.uid)
def test_panels_fit_side_by_side(dashboard: Any) -> None:
    panels = grafana(dashboard)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= WIDTH
        taken |= cells


def test_grafana_finds_datasource_and_dashboards() -> None:
    provisioning = MONITORING / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))
    named = {source["uid"] for source in sources["datasources"]}
    for dashboard in DASHBOARDS:
        text = json.dumps(grafana(dashboard))
        assert set(re.findall(r'"type": "prometheus", "uid": "(\w+)"', text)) == named


def test_jobs_have_the_names_of_components(built: Any) -> None:
    """Compose and Kubernetes call the same thing the same, so that one file of rules serves both."""
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    scraped = {one["job_name"]: one.get("metrics_path", "/metrics") for one in config["scrape_configs"]}
    whole = built(Combination("local", ("monitoring",)))
    on_kubernetes = {
        pod.labels["app.kubernetes.io/component"]: monitor["spec"]["podMetricsEndpoints"][0]["path"]
        for monitor in whole.of("PodMonitor")
        for pod in whole.matching(monitor["spec"]["selector"])
    }
    assert on_kubernetes == {name: path for name, path in scraped.items() if name != "prometheus"}
    ports = {
        one["job_name"]: one["dns_sd_configs"][0]["port"] for one in config["scrape_configs"] if "dns_sd_configs" in one
    }
    for name, port in ports.items():
        (pod,) = whole.selected({"app.kubernetes.io/component": name})
        assert port in pod.containers[0].port_numbers
    said = [one for rule in alerts() for one in re.findall(r'\bjob=~?"([^"]+)"', rule["expr"])]
    asked = {name for one in said for name in one.split("|")}
    assert asked <= scraped.keys()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool: runs where Prometheus is installed")
def test_prometheus_takes_rules_and_configuration() -> None:
    for command in (
        ["check", "rules", "rules.yml"],
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["test", "rules", "rules_test.yml"],
    ):
        checked = subprocess.run(["promtool", *command], cwd=MONITORING, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
