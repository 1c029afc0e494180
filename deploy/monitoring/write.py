"""Writes what is made from other files: ``python -m deploy.monitoring.write``. A test says when it is old.

Grafana's dashboards, from :mod:`deploy.monitoring.dashboards`; the PrometheusRule of the Kubernetes component, from
``rules.yml``, which Prometheus under Compose reads as it is.
"""

import json
from pathlib import Path

import yaml

from deploy.monitoring.dashboards import ALL
from deploy.monitoring.panels import grafana

HERE = Path(__file__).parent
RULES = HERE / "rules.yml"
PROMETHEUS_RULE = HERE.parent / "k8s" / "components" / "monitoring" / "prometheusrule.yaml"
_NOTE = "# Written from deploy/monitoring/rules.yml by python -m deploy.monitoring.write: change that file.\n"


def written() -> dict[Path, str]:
    """What each of the files should hold."""
    files = {
        HERE / "grafana" / "dashboards" / f"{one.uid}.json": json.dumps(grafana(one), indent=1, ensure_ascii=False)
        + "\n"
        for one in ALL
    }
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "lookalike"},
        "spec": yaml.safe_load(RULES.read_text(encoding="utf-8")),
    }
    return {**files, PROMETHEUS_RULE: _NOTE + yaml.safe_dump(rule, sort_keys=False, allow_unicode=True, width=110)}


if __name__ == "__main__":
    for path, content in written().items():
        path.write_text(content, encoding="utf-8")
