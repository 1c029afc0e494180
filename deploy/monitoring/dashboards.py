"""The dashboards: what each panel asks Prometheus for. ``python -m deploy.monitoring.write`` makes the files."""

from deploy.monitoring.panels import WIDTH, Dashboard, Panel, Row

_HALF, _QUARTER = WIDTH // 2, WIDTH // 4


def _quantile(share: float, metric: str, by: str, where: str = "") -> str:
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({metric}_bucket{{{where}}}[$__rate_interval])))"


def _rate(metric: str, by: str = "", where: str = "") -> str:
    total = f"rate({metric}{{{where}}}[$__rate_interval])"
    return f"sum by ({by}) ({total})" if by else f"sum({total})"


_SEARCHED = 'backend=~"$backend", model=~"$model"'

SEARCHES = Dashboard(
    uid="lookalike-searches",
    title="Lookalike: searches and requests",
    variables=(
        ("backend", "backend", "group by (backend) (lookalike_search_stage_seconds_count)"),
        ("model", "model", "group by (model) (lookalike_search_stage_seconds_count)"),
    ),
    rows=(
        Row(
            "Searches",
            (
                Panel(
                    "Latency by backend",
                    [
                        (
                            f"{{{{backend}}}} p{round(share * 100)}",
                            _quantile(
                                share, "lookalike_search_stage_seconds", "backend", f'stage="total", {_SEARCHED}'
                            ),
                        )
                        for share in (0.5, 0.99)
                    ],
                    unit="s",
                    width=_HALF,
                ),
                Panel(
                    "Where the time goes: p99 of each stage",
                    [
                        (
                            "{{stage}}",
                            _quantile(0.99, "lookalike_search_stage_seconds", "stage", f'stage!="total", {_SEARCHED}'),
                        )
                    ],
                    unit="s",
                    width=_HALF,
                ),
                Panel(
                    "Searches a second",
                    [
                        (
                            "{{backend}} {{model}}",
                            _rate(
                                "lookalike_search_stage_seconds_count", "backend, model", f'stage="total", {_SEARCHED}'
                            ),
                        )
                    ],
                    unit="reqps",
                    stacked=True,
                ),
                Panel(
                    "Searches answered by one call of a backend",
                    [
                        (
                            "mean",
                            f"{_rate('lookalike_joined_searches_sum')} / {_rate('lookalike_joined_searches_count')}",
                        ),
                        ("p95", _quantile(0.95, "lookalike_joined_searches", "job")),
                    ],
                    description="More than one: concurrent searches share the work.",
                ),
                Panel(
                    "Changes of what is served",
                    [("{{gallery}}", "sum by (gallery) (increase(lookalike_live_switches_total[$__interval]))")],
                ),
            ),
        ),
        Row(
            "Requests",
            (
                Panel(
                    "Requests a second by status",
                    [("{{status}}", _rate("lookalike_http_requests_total", "status", 'job="gateway"'))],
                    unit="reqps",
                    stacked=True,
                ),
                Panel(
                    "Errors of ours by route",
                    [
                        (
                            "{{method}} {{route}} {{status}}",
                            _rate(
                                "lookalike_http_requests_total", "method, route, status", 'job="gateway", status=~"5.."'
                            ),
                        )
                    ],
                    unit="reqps",
                ),
                Panel(
                    "Refused for want of a key or of room",
                    [("{{code}}", _rate("lookalike_refused_requests_total", "code"))],
                    unit="reqps",
                ),
                Panel(
                    "p95 by route, until the answer begins",
                    [
                        (
                            "{{method}} {{route}}",
                            _quantile(0.95, "lookalike_http_request_seconds", "method, route", 'job="gateway"'),
                        )
                    ],
                    unit="s",
                ),
            ),
        ),
        Row(
            "Gateways",
            (
                Panel(
                    "Memory",
                    [("{{instance}}", 'process_resident_memory_bytes{job="gateway"}')],
                    unit="bytes",
                    width=_QUARTER,
                ),
                Panel(
                    "Cores",
                    [("{{instance}}", _rate("process_cpu_seconds_total", "instance", 'job="gateway"'))],
                    width=_QUARTER,
                ),
                Panel("Open files", [("{{instance}}", 'process_open_fds{job="gateway"}')], width=_QUARTER),
                Panel(
                    "Galleries, and images of each",
                    [
                        ("galleries", 'max(lookalike_galleries{job="gateway"})'),
                        ("{{gallery}}", 'max by (gallery) (lookalike_gallery_images{job="gateway"})'),
                    ],
                    width=_QUARTER,
                ),
            ),
        ),
    ),
)

JOBS = Dashboard(
    uid="lookalike-jobs",
    title="Lookalike: jobs and workers",
    rows=(
        Row(
            "Jobs",
            (
                Panel("Jobs by state", [("{{state}}", 'max by (state) (lookalike_jobs{job="gateway"})')]),
                Panel(
                    "Age of the oldest",
                    [("{{state}}", 'max by (state) (lookalike_oldest_job_seconds{job="gateway"})')],
                    unit="s",
                ),
                Panel("Units that wait", [("{{queue}}", 'max by (queue) (lookalike_queue_depth{job="gateway"})')]),
            ),
        ),
        Row(
            "Units",
            (
                Panel(
                    "Given, begun and put off",
                    [
                        ("{{queue}} given", _rate("lookalike_tasks_enqueued_total", "queue")),
                        ("{{queue}} begun", _rate("lookalike_tasks_started_total", "queue")),
                        ("{{queue}} put off", _rate("lookalike_tasks_retried_total", "queue")),
                    ],
                    unit="ops",
                ),
                Panel(
                    "Ended, by outcome",
                    [("{{queue}} {{outcome}}", _rate("lookalike_tasks_finished_total", "queue, outcome"))],
                    unit="ops",
                ),
                Panel(
                    "Time of a unit, p95", [("{{queue}}", _quantile(0.95, "lookalike_task_seconds", "queue"))], unit="s"
                ),
            ),
        ),
        Row(
            "Images",
            (
                Panel(
                    "Images a second",
                    [
                        ("decoded", _rate("lookalike_images_decoded_total")),
                        ("embedded", _rate("lookalike_images_embedded_total")),
                    ],
                ),
                Panel(
                    "Images that failed, by reason",
                    [("{{stage}}: {{code}}", _rate("lookalike_images_failed_total", "stage, code"))],
                ),
                Panel(
                    "Seconds of work a second, by stage",
                    [("{{stage}}", _rate("lookalike_stage_seconds_sum", "stage"))],
                    stacked=True,
                ),
                Panel(
                    "Building an index, p95",
                    [("{{backend}}", _quantile(0.95, "lookalike_stage_seconds", "backend", 'stage="build"'))],
                    unit="s",
                ),
                Panel(
                    "Stages that failed",
                    [
                        (
                            "{{stage}} {{backend}}",
                            _rate("lookalike_stage_seconds_count", "stage, backend", 'outcome="failed"'),
                        )
                    ],
                    unit="ops",
                ),
                Panel(
                    "Images of each gallery",
                    [("{{gallery}}", 'max by (gallery) (lookalike_gallery_images{job="gateway"})')],
                ),
            ),
        ),
        Row(
            "Workers",
            (
                Panel(
                    "Workers that answer", [("{{job}}", 'sum by (job) (up{job=~"embedder|indexer"})')], width=_QUARTER
                ),
                Panel(
                    "Memory",
                    [("{{job}} {{instance}}", 'process_resident_memory_bytes{job=~"embedder|indexer"}')],
                    unit="bytes",
                    width=_QUARTER,
                ),
                Panel(
                    "Cores",
                    [
                        (
                            "{{job}} {{instance}}",
                            _rate("process_cpu_seconds_total", "job, instance", 'job=~"embedder|indexer"'),
                        )
                    ],
                    width=_QUARTER,
                ),
                Panel(
                    "Open files",
                    [("{{job}} {{instance}}", 'process_open_fds{job=~"embedder|indexer"}')],
                    width=_QUARTER,
                ),
            ),
        ),
    ),
)

SERVERS = Dashboard(
    uid="lookalike-servers",
    title="Lookalike: store, cache, TorchServe, Qdrant",
    rows=(
        Row(
            "Object store",
            (
                Panel(
                    "Calls a second", [("{{op}}", _rate("lookalike_store_calls_total", "op"))], unit="ops", stacked=True
                ),
                Panel(
                    "Calls that failed",
                    [
                        (
                            "{{op}} {{outcome}}",
                            _rate(
                                "lookalike_store_calls_total",
                                "op, outcome",
                                'outcome!~"ok|object_not_found|precondition_failed|already_exists"',
                            ),
                        )
                    ],
                    unit="ops",
                ),
                Panel("p95 of a call", [("{{op}}", _quantile(0.95, "lookalike_store_seconds", "op"))], unit="s"),
                Panel("Bytes", [("{{job}} {{op}}", _rate("lookalike_store_bytes_total", "job, op"))], unit="Bps"),
                Panel(
                    "Requests made again",
                    [("{{job}} {{method}}", _rate("lookalike_store_retries_total", "job, method"))],
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
                    [("{{status}}", _rate("lookalike_http_requests_total", "status", 'job="torchserve"'))],
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
                        ("{{action}} {{outcome}}", _rate("lookalike_torchserve_actions_total", "action, outcome")),
                        ("start", _rate("lookalike_torchserve_starts_total")),
                    ],
                    unit="ops",
                ),
                Panel(
                    "Requests a second",
                    [("{{model_name}}", _rate("ts_inference_requests_total", "model_name"))],
                    unit="reqps",
                ),
                Panel(
                    "Mean time of a request",
                    [
                        (
                            "in all",
                            f"{_rate('ts_inference_latency_microseconds')} / {_rate('ts_inference_requests_total')}",
                        ),
                        (
                            "waiting",
                            f"{_rate('ts_queue_latency_microseconds')} / {_rate('ts_inference_requests_total')}",
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
                            _rate("rest_responses_total", "method, endpoint, status", 'job="qdrant", status=~"[45].."'),
                        )
                    ],
                    unit="reqps",
                ),
            ),
        ),
    ),
)

ALL = (SEARCHES, JOBS, SERVERS)
