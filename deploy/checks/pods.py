"""Rules of every pod: the restricted profile and beyond, limits, probes, images."""

import re
from collections.abc import Iterator

from deploy.checks.manifests import Container, Finding, Manifests, Workload, size_bytes

_DIGEST = r"@sha256:[0-9a-f]{64}"
_PINNED = re.compile(rf"^[a-z0-9][a-z0-9._/\-]*(:[A-Za-z0-9_][A-Za-z0-9_.\-]*({_DIGEST})?|{_DIGEST})$")
_MOVING = {"latest", "main", "master", "edge", "nightly", "stable", "dev"}
_VOLUMES = {"configMap", "secret", "emptyDir", "projected", "downwardAPI", "persistentVolumeClaim", "ephemeral", "csi"}
_RESOURCES = ("cpu", "memory", "ephemeral-storage")


def restricted(found: Manifests) -> Iterator[Finding]:
    """What the profile ``restricted`` of Pod Security asks, and a read-only root file system."""
    for workload in found.workloads:
        pod, said = workload.pod, workload.pod.get("securityContext") or {}
        for flag in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(flag):
                yield Finding(workload.where, f"{flag} is on")
        if said.get("runAsNonRoot") is not True or said.get("runAsUser") in (None, 0):
            yield Finding(workload.where, "does not say runAsNonRoot and a runAsUser other than 0")
        if (said.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
            yield Finding(workload.where, "has no seccompProfile RuntimeDefault")
        for volume in workload.pod.get("volumes", ()):
            if not _VOLUMES & volume.keys():
                yield Finding(workload.where, f"volume {volume['name']} is of no allowed type")
    for container in found.containers:
        yield from _container_restricted(container)


def _container_restricted(container: Container) -> Iterator[Finding]:
    said = container.spec.get("securityContext") or {}
    if said.get("allowPrivilegeEscalation") is not False:
        yield Finding(container.where, "does not forbid privilege escalation")
    if said.get("privileged"):
        yield Finding(container.where, "is privileged")
    if said.get("readOnlyRootFilesystem") is not True:
        yield Finding(container.where, "has a root file system that can be written")
    capabilities = said.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()) or capabilities.get("add"):
        yield Finding(container.where, "does not drop all capabilities")
    if said.get("runAsUser") == 0 or said.get("runAsNonRoot") is False:
        yield Finding(container.where, "runs as root")
    for port in container.spec.get("ports", ()):
        if "hostPort" in port:
            yield Finding(container.where, f"takes port {port['hostPort']} of its node")


def without_tokens(found: Manifests) -> Iterator[Finding]:
    """No pod talks to Kubernetes, none has its token, and each has a service account that says so."""
    for workload in found.workloads:
        if workload.pod.get("automountServiceAccountToken") is not False:
            yield Finding(workload.where, "does not say automountServiceAccountToken: false")
        account = workload.pod.get("serviceAccountName")
        if account is None:
            yield Finding(workload.where, "has the namespace's default service account")
            continue
        made = found.find("ServiceAccount", account)
        if made is None:
            yield Finding(workload.where, f"there is no ServiceAccount {account}")
        elif made.get("automountServiceAccountToken") is not False:
            yield Finding(f"ServiceAccount {account}", "does not say automountServiceAccountToken: false")


def without_service_links(found: Manifests) -> Iterator[Finding]:
    """Variables that Kubernetes makes of Services may look like settings of ours, and those are refused."""
    for workload in found.workloads:
        if workload.pod.get("enableServiceLinks") is not False:
            yield Finding(workload.where, "does not say enableServiceLinks: false")


def limited(found: Manifests) -> Iterator[Finding]:
    """Requests and limits of processor, memory and disk; limits no lower than requests, disk enough for its volumes."""
    for container in found.containers:
        said = container.spec.get("resources") or {}
        requests, limits = said.get("requests") or {}, said.get("limits") or {}
        for name in _RESOURCES:
            if name not in requests or name not in limits:
                yield Finding(container.where, f"has no request and limit of {name}")
        for name in ("memory", "ephemeral-storage"):
            if name in requests and name in limits and size_bytes(requests[name]) > size_bytes(limits[name]):
                yield Finding(container.where, f"requests more {name} than its limit")
    for workload in found.workloads:
        yield from _disk(workload)


def _disk(workload: Workload) -> Iterator[Finding]:
    on_disk = 0
    for name, volume in workload.volumes.items():
        if "emptyDir" not in volume:
            continue
        said = volume["emptyDir"] or {}
        if "sizeLimit" not in said:
            yield Finding(workload.where, f"emptyDir {name} has no sizeLimit")
        elif said.get("medium") != "Memory":
            on_disk += size_bytes(said["sizeLimit"])
    limits = [(one.spec.get("resources") or {}).get("limits") or {} for one in workload.containers if not one.is_init]
    limit = sum(size_bytes(said.get("ephemeral-storage", 0)) for said in limits)
    if limit < on_disk:
        yield Finding(workload.where, f"its volumes may take {on_disk} bytes of disk, and its limit is {limit}")


def probed(found: Manifests) -> Iterator[Finding]:
    """Of what runs for long: all three probes, on named ports; liveness never asks whether others are there."""
    for container in found.containers:
        if not container.workload.runs_for_long or container.is_init:
            continue
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container.spec.get(kind)
            if probe is None:
                yield Finding(container.where, f"has no {kind}")
                continue
            asked = probe.get("httpGet") or probe.get("tcpSocket") or {}
            if "exec" not in probe and asked.get("port") not in container.port_names:
                yield Finding(container.where, f"{kind} names no port of it")
            if kind == "livenessProbe" and str(asked.get("path", "")).startswith("/readyz"):
                yield Finding(container.where, "would be restarted because a server that it needs is away")


def pinned(found: Manifests) -> Iterator[Finding]:
    """Every image has a tag that stays, or a digest, and no registry's name: that is the overlay's to say."""
    for container in found.containers:
        image = str(container.spec.get("image", ""))
        if not _PINNED.match(image):
            yield Finding(container.where, f"image {image!r} has neither tag nor digest")
        elif _tag(image) in _MOVING:
            yield Finding(container.where, f"image {image} has a tag that moves")
        if "." in image.split("/")[0] and "/" in image:
            yield Finding(container.where, f"image {image} names a registry")


def _tag(image: str) -> str:
    return image.partition("@")[0].rpartition(":")[2]


def without_plain_secrets(found: Manifests) -> Iterator[Finding]:
    """Secrets are mounted as files: the environment of a process shows in many places."""
    for container in found.containers:
        for variable in container.spec.get("env", ()):
            if "secretKeyRef" in (variable.get("valueFrom") or {}):
                yield Finding(container.where, f"has a secret in the variable {variable['name']}")
            if re.search(r"(PASSWORD|SECRET|TOKEN|API_KEY)$", variable["name"]) and variable.get("value"):
                yield Finding(container.where, f"has a secret in the variable {variable['name']}")
        for source in container.spec.get("envFrom", ()):
            if "secretRef" in source:
                yield Finding(container.where, f"has all of {source['secretRef']['name']} in its environment")


RULES = (restricted, without_tokens, without_service_links, limited, probed, pinned, without_plain_secrets)
