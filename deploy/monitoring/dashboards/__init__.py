"""The dashboards: what each panel asks Prometheus for. ``python -m deploy.monitoring.write`` makes the files."""

from deploy.monitoring.dashboards.jobs import JOBS
from deploy.monitoring.dashboards.searches import SEARCHES
from deploy.monitoring.dashboards.servers import SERVERS

ALL = (SEARCHES, JOBS, SERVERS)
