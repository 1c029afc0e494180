"""What Kustomize built, and the questions that the rules ask of it."""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

Manifest = Mapping[str, Any]
# Where each kind keeps the template of its pods.
_TEMPLATES = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
LONG_RUNNING = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True)
class Finding:
    """One place that breaks a rule."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True)
class Container:
    """A container of a workload's pods."""

    workload: "Workload"
    spec: Manifest
    is_init: bool = False

    @property
    def where(self) -> str:
        return f"{self.workload.where}, container {self.spec['name']}"

    @property
    def port_names(self) -> set[str]:
        return {port["name"] for port in self.spec.get("ports", ()) if "name" in port}

    @property
    def port_numbers(self) -> set[int]:
        return {port["containerPort"] for port in self.spec.get("ports", ())}


@dataclass(frozen=True)
class Workload:
    """Whatever starts pods."""

    manifest: Manifest

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def where(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def runs_for_long(self) -> bool:
        return self.kind in LONG_RUNNING

    @property
    def template(self) -> Manifest:
        found: Any = self.manifest
        for step in _TEMPLATES[self.kind]:
            found = found[step]
        return dict(found)

    @property
    def pod(self) -> Manifest:
        return dict(self.template["spec"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.template.get("metadata", {}).get("labels", {}))

    @property
    def containers(self) -> list[Container]:
        started = [Container(self, spec, is_init=True) for spec in self.pod.get("initContainers", ())]
        return [*started, *(Container(self, spec) for spec in self.pod["containers"])]

    @property
    def volumes(self) -> dict[str, Manifest]:
        """By name; those of a StatefulSet's claims too."""
        claims = self.manifest["spec"].get("volumeClaimTemplates", ())
        found = {claim["metadata"]["name"]: {"volumeClaim": claim} for claim in claims}
        return {**found, **{volume["name"]: volume for volume in self.pod.get("volumes", ())}}


@dataclass(frozen=True)
class Manifests:
    """All objects of one build."""

    items: Sequence[Manifest]

    @classmethod
    def parse(cls, text: str) -> "Manifests":
        """Of YAML documents."""
        return cls(tuple(item for item in yaml.safe_load_all(text) if item))

    def of(self, *kinds: str) -> Iterator[Manifest]:
        return (item for item in self.items if item["kind"] in kinds)

    def find(self, kind: str, name: str) -> Manifest | None:
        return next((item for item in self.of(kind) if item["metadata"]["name"] == name), None)

    @property
    def workloads(self) -> list[Workload]:
        return [Workload(item) for item in self.of(*_TEMPLATES)]

    @property
    def containers(self) -> list[Container]:
        return [container for workload in self.workloads for container in workload.containers]

    def selected(self, labels: Mapping[str, str]) -> list[Workload]:
        """The workloads whose pods have all of these labels; none for no labels at all."""
        return [one for one in self.workloads if labels and labels.items() <= one.labels.items()]

    def matching(self, selector: Mapping[str, Any]) -> list[Workload]:
        """The workloads whose pods a label selector matches; an empty one matches all."""
        return [one for one in self.workloads if matches(selector, one.labels)]

    def values(self, kind: str, name: str) -> dict[str, str] | None:
        """The content of a ConfigMap or a Secret, decoded; None if there is none of that name."""
        found = self.find(kind, name)
        if found is None:
            return None
        if kind == "Secret":
            data = {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}
            return {**data, **(found.get("stringData") or {})}
        return dict(found.get("data") or {})


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector of Kubernetes matches: every condition of it."""
    return (selector.get("matchLabels") or {}).items() <= labels.items() and all(
        _holds(condition, labels) for condition in selector.get("matchExpressions") or ()
    )


def _holds(condition: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(condition["key"]), condition.get("values") or ()
    match condition["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case other:
            raise ValueError(f"no operator {other!r} of label selectors")


def size_bytes(quantity: str | int) -> int:
    """A quantity of memory or disk: ``2Gi`` is 2147483648."""
    text = str(quantity)
    units = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
    for unit, factor in units.items():
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * factor)
    return int(text)


def duplicates(items: Iterable[str]) -> set[str]:
    """What comes more than once."""
    seen: set[str] = set()
    return {item for item in items if item in seen or seen.add(item)}  # type: ignore[func-returns-value]
