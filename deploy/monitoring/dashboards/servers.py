"""What Lookalike needs: the store, the cache, TorchServe, Qdrant."""

from deploy.monitoring.dashboards.queries import quantile, rate
from deploy.monitoring.panels import WIDTH, Dashboard, Panel, Row

_HALF = WIDTH // 2

SERVERS = Dashboard(
    uid="lookalike-servers",
    title="Lookalike: store, cache, TorchServe, Qdrant",
    rows=(
        Row(
            "Object store",
            (
                Panel(
                    "Calls a second", [("{{op}}", rate("lookalike_store_calls_total", "op"))], unit="ops", stacked=True
                ),
                Panel(
                    "Calls that failed",
                    [
                        (
                            "{{op}} {{outcome}}",
                            rate(
                                "lookalike_store_calls_total",
                                "op, outcome",
                                'outcome!~"ok|object_not_found|precondition_failed|already_exists"',
                            ),
                        )
                    ],
                    unit="ops",
                ),
                Panel("p95 of a call", [("{{op}}", quantile(0.95, "lookalike_store_seconds", "op"))], unit="s"),
                Panel("Bytes", [("{{job}} {{op}}", rate("lookalike_store_bytes_total", "job, op"))], unit="Bps"),
                Panel(
                    "Requests made again",
                    [("{{job}} {{method}}", rate("lookalike_store_retries_total", "job, method"))],
                    unit="ops",
                ),
                Panel(
                    "MinIO: space left",
                    [("left", 'minio_cluster_capacity_usable_free_bytes{job="minio"}')],
                    unit="bytes",
                ),
            ),
        ),
        Row(
            "Copies on the machines",
            (
                Panel(
                    "Size of the cache", [("{{job}} {{instance}}", "lookalike_cache_bytes")], unit="bytes", width=_HALF
                ),
                Panel(
                    "Artifacts removed for others",
                    [("{{job}} {{instance}}", "increase(lookalike_cache_evictions_total[$__rate_interval])")],
                    width=_HALF,
                ),
            ),
        ),
        Row(
            "TorchServe",
            (
                Panel(
                    "Answers by status",
                    [("{{status}}", rate("lookalike_http_requests_total", "status", 'job="torchserve"'))],
                    unit="reqps",
                    description="503: too many at once, to be asked again.",
                    stacked=True,
                ),
                Panel(
                    "Models",
                    [("{{instance}}: {{state}}", "lookalike_torchserve_models")],
                ),
                Panel(
                    "What the supervisor did",
                    [
                        ("{{action}} {{outcome}}", rate("lookalike_torchserve_actions_total", "action, outcome")),
                        ("start", rate("lookalike_torchserve_starts_total")),
                    ],
                    unit="ops",
                ),
                Panel(
                    "Requests a second",
                    [("{{model_name}}", rate("ts_inference_requests_total", "model_name"))],
                    unit="reqps",
                ),
                Panel(
                    "Mean time of a request",
                    [
                        (
                            "in all",
                            f"{rate('ts_inference_latency_microseconds')} / {rate('ts_inference_requests_total')}",
                        ),
                        (
                            "waiting",
                            f"{rate('ts_queue_latency_microseconds')} / {rate('ts_inference_requests_total')}",
                        ),
                    ],
                    unit="µs",
                ),
                Panel(
                    "Memory of the machine", [("{{instance}}", 'MemoryUtilization{job="torchserve"}')], unit="percent"
                ),
                Panel("GPU at work", [("{{instance}}", 'GPUUtilization{job="torchserve"}')], unit="percent"),
                Panel("GPU memory", [("{{instance}}", 'GPUMemoryUtilization{job="torchserve"}')], unit="percent"),
            ),
        ),
        Row(
            "Qdrant",
            (
                Panel(
                    "Peers",
                    [
                        ("known to {{instance}}", 'cluster_peers_total{job="qdrant"}'),
                        ("answering", 'sum(up{job="qdrant"})'),
                    ],
                ),
                Panel(
                    "Operations that wait for consensus",
                    [("{{instance}}", 'cluster_pending_operations_total{job="qdrant"}')],
                ),
                Panel(
                    "Requests that failed",
                    [
                        (
                            "{{method}} {{endpoint}} {{status}}",
                            rate("rest_responses_total", "method, endpoint, status", 'job="qdrant", status=~"[45].."'),
                        )
                    ],
                    unit="reqps",
                ),
            ),
        ),
    ),
)
