"""Rules of updates and disturbances: nothing that is served goes away before something else serves it."""

from collections.abc import Iterator
from typing import Any

from deploy.checks.manifests import Finding, Manifests, Workload

# Who answers requests needs a moment in which its proxies learn that it goes, beside the time to finish.
_DRAIN_S = {"gateway": 30, "torchserve": 30, "embedder": 300, "indexer": 900}


def rolling(found: Manifests) -> Iterator[Finding]:
    """A Deployment keeps at least one pod of the old version until one of the new is ready."""
    for workload in found.workloads:
        if workload.kind != "Deployment":
            continue
        strategy = workload.manifest["spec"].get("strategy") or {}
        if strategy.get("type", "RollingUpdate") != "RollingUpdate":
            yield Finding(workload.where, "is not updated pod by pod")
            continue
        away = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
        replicas = workload.manifest["spec"].get("replicas", 1)
        if away != 0 and not (isinstance(away, int) and replicas > away):
            yield Finding(workload.where, f"may have no pod during an update (maxUnavailable {away} of {replicas})")


def drained(found: Manifests) -> Iterator[Finding]:
    """Pods get the time to finish what they have begun; those behind a Service are asked for nothing new meanwhile."""
    for workload in found.workloads:
        component = workload.labels.get("app.kubernetes.io/component", "")
        needed, given = _DRAIN_S.get(component, 0), workload.pod.get("terminationGracePeriodSeconds", 30)
        slept = max((_sleep(container.spec) for container in workload.containers), default=0)
        if given < needed + slept:
            yield Finding(workload.where, f"gets {given} s to end and needs {needed} after {slept} of waiting")
        if component in ("gateway", "torchserve") and workload.kind == "Deployment" and slept < 5:
            yield Finding(workload.where, "takes no preStop sleep of five seconds before it is told to end")


def _sleep(container: Any) -> int:
    said = ((container.get("lifecycle") or {}).get("preStop") or {}).get("sleep") or {}
    return int(said.get("seconds", 0))


def budgeted(found: Manifests) -> Iterator[Finding]:
    """Every Deployment, and every StatefulSet of several, has a budget that lets a node be drained."""
    budgets = list(found.of("PodDisruptionBudget"))
    for budget in budgets:
        spec, where = budget["spec"], f"PodDisruptionBudget {budget['metadata']['name']}"
        if not found.matching(spec.get("selector") or {}):
            yield Finding(where, "selects no pods")
        if spec.get("maxUnavailable") in (0, "0%") or "minAvailable" in spec:
            yield Finding(where, "may keep a node from being drained forever: say maxUnavailable, at least 1")
    for workload in found.workloads:
        if _wants_budget(workload) and not any(_selects(found, budget, workload) for budget in budgets):
            yield Finding(workload.where, "has no PodDisruptionBudget")


def _wants_budget(workload: Workload) -> bool:
    return workload.kind == "Deployment" or (
        workload.kind == "StatefulSet" and workload.manifest["spec"].get("replicas", 1) > 1
    )


def _selects(found: Manifests, budget: Any, workload: Workload) -> bool:
    return workload in found.matching(budget["spec"].get("selector") or {})


def spread(found: Manifests) -> Iterator[Finding]:
    """What there is several of does not sit on one node."""
    for workload in found.workloads:
        if workload.kind in ("Deployment", "StatefulSet") and _wants_budget(workload):
            rules = workload.pod.get("topologySpreadConstraints") or ()
            if not any(rule["topologyKey"] == "kubernetes.io/hostname" for rule in rules):
                yield Finding(workload.where, "is not spread over nodes")
            for rule in rules:
                if workload not in found.matching(rule.get("labelSelector") or {}):
                    yield Finding(workload.where, f"spreads other pods than its own over {rule['topologyKey']}")


RULES = (rolling, drained, budgeted, spread)
