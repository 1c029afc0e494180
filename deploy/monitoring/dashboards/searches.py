"""How fast and how well searches and requests are answered."""

from deploy.monitoring.dashboards.queries import quantile, rate
from deploy.monitoring.panels import WIDTH, Dashboard, Panel, Row

_HALF = WIDTH // 2
_QUARTER = WIDTH // 4
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
                            quantile(share, "lookalike_search_stage_seconds", "backend", f'stage="total", {_SEARCHED}'),
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
                            quantile(0.99, "lookalike_search_stage_seconds", "stage", f'stage!="total", {_SEARCHED}'),
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
                            rate(
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
                            f"{rate('lookalike_joined_searches_sum')} / {rate('lookalike_joined_searches_count')}",
                        ),
                        ("p95", quantile(0.95, "lookalike_joined_searches", "job")),
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
                    [("{{status}}", rate("lookalike_http_requests_total", "status", 'job="gateway"'))],
                    unit="reqps",
                    stacked=True,
                ),
                Panel(
                    "Errors of ours by route",
                    [
                        (
                            "{{method}} {{route}} {{status}}",
                            rate(
                                "lookalike_http_requests_total", "method, route, status", 'job="gateway", status=~"5.."'
                            ),
                        )
                    ],
                    unit="reqps",
                ),
                Panel(
                    "Refused for want of a key or of room",
                    [("{{code}}", rate("lookalike_refused_requests_total", "code"))],
                    unit="reqps",
                ),
                Panel(
                    "p95 by route, until the answer begins",
                    [
                        (
                            "{{method}} {{route}}",
                            quantile(0.95, "lookalike_http_request_seconds", "method, route", 'job="gateway"'),
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
                    [("{{instance}}", rate("process_cpu_seconds_total", "instance", 'job="gateway"'))],
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
