"""Rules that the API server has beyond its schemas: it refuses what breaks them when it is applied."""

import json
import re
from collections.abc import Iterator
from typing import Any

from deploy.checks.manifests import Finding, Manifests, Workload, matches

_LABEL_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.\-]{0,61}[A-Za-z0-9])?"
_DOMAIN = r"[a-z0-9]([a-z0-9.\-]*[a-z0-9])?"
_KEY = re.compile(rf"^({_DOMAIN}/)?{_LABEL_NAME}$")
_VALUE = re.compile(rf"^({_LABEL_NAME})?$")
_NAME = re.compile(rf"^{_DOMAIN}$")
_PORT = re.compile(r"^(?=.*[a-z])[a-z0-9](-?[a-z0-9])*$")
_VARIABLE = re.compile(r"^[A-Za-z_.\-][A-Za-z0-9_.\-]*$")
_QUANTITY = re.compile(r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")
_FIELD = r"(\*|\d+(-\d+)?)(/\d+)?(,\d+(-\d+)?)*"
_SCHEDULE = re.compile(rf"^{_FIELD}( {_FIELD}){{4}}$")
# Of a CronJob, which adds a time to the names of its Jobs, and of a StatefulSet, whose pods have a number and a hash.
_LONGEST = {"CronJob": 52, "StatefulSet": 52, "Service": 63, "Namespace": 63}
_LAST_APPLIED_BYTES = 262_144  # kubectl apply keeps a whole object in an annotation, and no annotation is longer


def well_named(found: Manifests) -> Iterator[Finding]:
    """Names, labels, ports and variables are spelt as they must be."""
    for item in found.items:
        name, where = item["metadata"]["name"], f"{item['kind']} {item['metadata']['name']}"
        if not _NAME.match(name) or len(name) > _LONGEST.get(item["kind"], 253):
            yield Finding(where, "has a name that is not allowed")
        yield from _labels(where, item["metadata"].get("labels") or {})
    for workload in found.workloads:
        yield from _labels(f"pods of {workload.where}", workload.labels)
    for container in found.containers:
        for port in container.spec.get("ports", ()):
            if not _PORT.match(port.get("name", "a")) or len(port.get("name", "")) > 15:
                yield Finding(container.where, f"port {port['name']!r} has a name that is not allowed")
        for variable in container.spec.get("env", ()):
            if not _VARIABLE.match(variable["name"]):
                yield Finding(container.where, f"variable {variable['name']!r} has a name that is not allowed")


def _labels(where: str, labels: dict[str, Any]) -> Iterator[Finding]:
    for key, value in labels.items():
        if not isinstance(value, str) or not _KEY.match(key) or not _VALUE.match(value):
            yield Finding(where, f"label {key}={value!r} is not allowed")


def selects_itself(found: Manifests) -> Iterator[Finding]:
    """A workload selects the pods that it makes, and no other workload's."""
    for workload in found.workloads:
        selector = workload.manifest["spec"].get("selector")
        if selector is None:
            continue
        if not matches(selector, workload.labels):
            yield Finding(workload.where, "does not select the pods that it makes")
        for other in _others(found, workload):
            if matches(selector, other.labels):
                yield Finding(workload.where, f"selects the pods of {other.where} too")


def _others(found: Manifests, workload: Workload) -> list[Workload]:
    return [one for one in found.workloads if (one.kind, one.name) != (workload.kind, workload.name)]


def measured(found: Manifests) -> Iterator[Finding]:
    """Quantities, schedules and whole numbers of GPUs are as they must be."""
    for container in found.containers:
        said = container.spec.get("resources") or {}
        for kind in ("requests", "limits"):
            for name, quantity in (said.get(kind) or {}).items():
                if not _QUANTITY.match(str(quantity)):
                    yield Finding(container.where, f"{kind} of {name}: {quantity!r} is no quantity")
        extended = {name: value for name, value in (said.get("limits") or {}).items() if "/" in name}
        for name, value in extended.items():
            if not str(value).isdigit() or (said.get("requests") or {}).get(name, value) != value:
                yield Finding(container.where, f"asks for {value!r} of {name}, which is not divided nor overbooked")
    for job in found.of("CronJob"):
        if not _SCHEDULE.match(job["spec"]["schedule"]):
            yield Finding(f"CronJob {job['metadata']['name']}", f"{job['spec']['schedule']!r} is no schedule")


def restarts_allowed(found: Manifests) -> Iterator[Finding]:
    """Jobs say Never or OnFailure, everything else restarts always."""
    for workload in found.workloads:
        said, allowed = workload.pod.get("restartPolicy", "Always"), {"Always"}
        if not workload.runs_for_long:
            allowed = {"Never", "OnFailure"}
        if said not in allowed:
            yield Finding(workload.where, f"restartPolicy {said} is not allowed")


def small_enough(found: Manifests) -> Iterator[Finding]:
    """kubectl apply can keep each object in its annotation."""
    for item in found.items:
        size = len(json.dumps(item).encode())
        if size > _LAST_APPLIED_BYTES:
            yield Finding(
                f"{item['kind']} {item['metadata']['name']}", f"has {size} bytes: apply takes {_LAST_APPLIED_BYTES}"
            )


RULES = (well_named, selects_itself, measured, restarts_allowed, small_enough)
