"""What jobs, units and workers do."""

from deploy.monitoring.dashboards.queries import quantile, rate
from deploy.monitoring.panels import WIDTH, Dashboard, Panel, Row

_QUARTER = WIDTH // 4

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
                        ("{{queue}} given", rate("lookalike_tasks_enqueued_total", "queue")),
                        ("{{queue}} begun", rate("lookalike_tasks_started_total", "queue")),
                        ("{{queue}} put off", rate("lookalike_tasks_retried_total", "queue")),
                    ],
                    unit="ops",
                ),
                Panel(
                    "Ended, by outcome",
                    [("{{queue}} {{outcome}}", rate("lookalike_tasks_finished_total", "queue, outcome"))],
                    unit="ops",
                ),
                Panel(
                    "Time of a unit, p95", [("{{queue}}", quantile(0.95, "lookalike_task_seconds", "queue"))], unit="s"
                ),
            ),
        ),
        Row(
            "Images",
            (
                Panel(
                    "Images a second",
                    [
                        ("decoded", rate("lookalike_images_decoded_total")),
                        ("embedded", rate("lookalike_images_embedded_total")),
                    ],
                ),
                Panel(
                    "Images that failed, by reason",
                    [("{{stage}}: {{code}}", rate("lookalike_images_failed_total", "stage, code"))],
                ),
                Panel(
                    "Seconds of work a second, by stage",
                    [("{{stage}}", rate("lookalike_stage_seconds_sum", "stage"))],
                    stacked=True,
                ),
                Panel(
                    "Building an index, p95",
                    [("{{backend}}", quantile(0.95, "lookalike_stage_seconds", "backend", 'stage="build"'))],
                    unit="s",
                ),
                Panel(
                    "Stages that failed",
                    [
                        (
                            "{{stage}} {{backend}}",
                            rate("lookalike_stage_seconds_count", "stage, backend", 'outcome="failed"'),
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
                            rate("process_cpu_seconds_total", "job, instance", 'job=~"embedder|indexer"'),
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
