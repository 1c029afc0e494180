"""Rules of names: what a manifest refers to exists."""

from collections.abc import Iterator
from typing import Any

from deploy.checks.manifests import Container, Finding, Manifests, Workload, duplicates


def unique(found: Manifests) -> Iterator[Finding]:
    """No two objects of one kind and name."""
    for name in sorted(duplicates(f"{item['kind']} {item['metadata']['name']}" for item in found.items)):
        yield Finding(name, "is there twice")


def mounted(found: Manifests) -> Iterator[Finding]:
    """Volumes are declared and used; the ConfigMaps, Secrets and keys that they and variables name exist."""
    for workload in found.workloads:
        volumes, used = workload.volumes, set()
        for container in workload.containers:
            for mount in container.spec.get("volumeMounts", ()):
                used.add(mount["name"])
                if mount["name"] not in volumes:
                    yield Finding(container.where, f"mounts {mount['name']}, which is no volume")
            for place in sorted(duplicates(mount["mountPath"] for mount in container.spec.get("volumeMounts", ()))):
                yield Finding(container.where, f"mounts two volumes at {place}")
            yield from _variables(found, container)
        for name in sorted(volumes.keys() - used):
            yield Finding(workload.where, f"volume {name} is mounted nowhere")
        for name, volume in volumes.items():
            yield from _volume(found, workload, name, volume)


def _volume(found: Manifests, workload: Workload, name: str, volume: Any) -> Iterator[Finding]:
    for kind, field, key in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
        source = volume.get(field)
        if source is None or source.get("optional"):
            continue
        values = found.values(kind, source[key])
        if values is None:
            yield Finding(workload.where, f"volume {name}: there is no {kind} {source[key]}")
            continue
        for item in source.get("items", ()):
            if item["key"] not in values:
                yield Finding(workload.where, f"volume {name}: {kind} {source[key]} has no {item['key']}")


def _variables(found: Manifests, container: Container) -> Iterator[Finding]:
    for source in container.spec.get("envFrom", ()):
        for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            named = source.get(field)
            if named and not named.get("optional") and found.find(kind, named["name"]) is None:
                yield Finding(container.where, f"there is no {kind} {named['name']}")
    for variable in container.spec.get("env", ()):
        for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
            named = (variable.get("valueFrom") or {}).get(field)
            if named and not named.get("optional"):
                values = found.values(kind, named["name"])
                if values is None or named["key"] not in values:
                    yield Finding(container.where, f"{kind} {named['name']} has no {named['key']}")


def served(found: Manifests) -> Iterator[Finding]:
    """A Service selects pods and leads to ports of theirs; what names a Service finds it, and its port."""
    for service in found.of("Service"):
        where = f"Service {service['metadata']['name']}"
        pods = found.selected(service["spec"].get("selector") or {})
        if not pods and "selector" in service["spec"]:  # one without leads nowhere, and is meant to
            yield Finding(where, "selects no pods")
        for port in service["spec"]["ports"]:
            for pod in pods:
                if not _has_port(pod, port.get("targetPort", port["port"])):
                    yield Finding(where, f"leads to port {port.get('targetPort')}, which {pod.where} lacks")
    for workload in found.workloads:
        name = workload.manifest["spec"].get("serviceName") if workload.kind == "StatefulSet" else None
        if name is not None and found.find("Service", name) is None:
            yield Finding(workload.where, f"there is no Service {name}")
    for ingress in found.of("Ingress"):
        for rule in ingress["spec"].get("rules", ()):
            for path in rule["http"]["paths"]:
                said = path["backend"]["service"]
                target = found.find("Service", said["name"])
                ports = {
                    value for port in (target or {"spec": {"ports": ()}})["spec"]["ports"] for value in port.values()
                }
                if not {said["port"].get("name"), said["port"].get("number")} & ports:
                    yield Finding(
                        f"Ingress {ingress['metadata']['name']}", f"there is no Service {said['name']} with that port"
                    )


def _has_port(workload: Workload, port: str | int) -> bool:
    return any(port in one.port_names | one.port_numbers for one in workload.containers)


def scaled(found: Manifests) -> Iterator[Finding]:
    """What scales has a target, which leaves the number of its pods to it and to no other."""
    scalers = [*found.of("HorizontalPodAutoscaler"), *found.of("ScaledObject")]
    targets = []
    for scaler in scalers:
        where, said = f"{scaler['kind']} {scaler['metadata']['name']}", scaler["spec"]["scaleTargetRef"]
        target = found.find(said.get("kind", "Deployment"), said["name"])
        targets.append(said["name"])
        if target is None:
            yield Finding(where, f"there is no {said.get('kind', 'Deployment')} {said['name']}")
        elif "replicas" in target["spec"]:
            yield Finding(where, f"{said['name']} says replicas too: every apply would set them back")
        for trigger in scaler["spec"].get("triggers", ()):
            named = (trigger.get("authenticationRef") or {}).get("name")
            if named and found.find("TriggerAuthentication", named) is None:
                yield Finding(where, f"there is no TriggerAuthentication {named}")
            host = str(trigger["metadata"].get("address", "")).rpartition(":")[0]
            if host.endswith(".svc") and found.find("Service", host.partition(".")[0]) is None:
                yield Finding(where, f"measures {host}, and there is no such Service")
    for name in sorted(duplicates(targets)):
        yield Finding(name, "is scaled by two")
    for authentication in found.of("TriggerAuthentication"):
        for said in authentication["spec"].get("secretTargetRef", ()):
            values = found.values("Secret", said["name"])
            if values is None or said["key"] not in values:
                where = f"TriggerAuthentication {authentication['metadata']['name']}"
                yield Finding(where, f"Secret {said['name']} has no {said['key']}")


def monitored(found: Manifests) -> Iterator[Finding]:
    """A monitor selects pods, by ports of theirs; the Secret that it shows exists."""
    for monitor in found.of("PodMonitor"):
        where = f"PodMonitor {monitor['metadata']['name']}"
        pods = found.matching(monitor["spec"]["selector"])
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            for pod in pods:
                if not _has_port(pod, endpoint["port"]):
                    yield Finding(where, f"asks for port {endpoint['port']}, which {pod.where} lacks")
            said = (endpoint.get("authorization") or {}).get("credentials")
            if pods and said and said["key"] not in (found.values("Secret", said["name"]) or {}):
                yield Finding(where, f"Secret {said['name']} has no {said['key']}")


def same_namespace(found: Manifests) -> Iterator[Finding]:
    """Everything is in the one namespace, which enforces the restricted profile."""
    spaces = list(found.of("Namespace"))
    names = {space["metadata"]["name"] for space in spaces}
    for space in spaces:
        enforced = (space["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce")
        if enforced != "restricted":
            yield Finding(f"Namespace {space['metadata']['name']}", "does not enforce the profile restricted")
    for item in found.items:
        if item["kind"] != "Namespace" and item["metadata"].get("namespace") not in names:
            yield Finding(f"{item['kind']} {item['metadata']['name']}", "is in no namespace of the build")


RULES = (unique, mounted, served, scaled, monitored, same_namespace)
