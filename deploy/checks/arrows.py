"""What NetworkPolicies allow, as arrows from component to component, and whether these are the design's."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from deploy.checks.manifests import Finding, Manifests, Workload

INTERNET = "internet"
_COMPONENT = "app.kubernetes.io/component"
_PRIVATE = [
    ip_network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8")
]
_PRIVATE_6 = [ip_network(one) for one in ("fc00::/7", "fe80::/10", "::1/128")]


@dataclass(frozen=True, order=True)
class Arrow:
    """From a component, ``internet`` or ``namespace NAME``, to another, at a port of its pods."""

    source: str
    target: str
    port: str

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}:{self.port}"


# The arrows of docs/explanation/structure.md. Trainings read labelled images from their volume, and put a model into
# the store; the management API of TorchServe has no arrow, nor has any worker: nobody calls them.
_STORE = {
    Arrow(one, "minio", "9000")
    for one in ("embedder", "gateway", "indexer", "maintenance", "setup", "torchserve", "trainer")
}
_QUEUE = {Arrow(one, "redis", "6379") for one in ("embedder", "gateway", "indexer", "maintenance", "setup")}
_QDRANT = {
    Arrow(one, "qdrant", port)
    for one in ("embedder", "gateway", "indexer", "maintenance", "setup")
    for port in ("6333", "6334")
}
_EMBEDDING = {Arrow(one, "torchserve", "8080") for one in ("embedder", "gateway", "indexer")}
DESIGN = frozenset(_STORE | _QUEUE | _QDRANT | _EMBEDDING | {Arrow("qdrant", "qdrant", "6335")})


def allowed(found: Manifests) -> set[Arrow]:
    """Every arrow between pods that a policy allows at both ends, and those that lead in or out of the namespace."""
    out, into = set(_arrows(found, "egress")), set(_arrows(found, "ingress"))
    inside = {_name(workload) for workload in found.workloads}
    return {arrow for arrow in out if arrow.target not in inside or arrow in into} | {
        arrow for arrow in into if arrow.source not in inside
    }


def _arrows(found: Manifests, direction: str) -> Iterator[Arrow]:
    for policy in found.of("NetworkPolicy"):
        pods = [_name(workload) for workload in found.matching(policy["spec"].get("podSelector") or {})]
        for rule in policy["spec"].get(direction) or ():
            peers = list(_peers(found, rule.get("to" if direction == "egress" else "from")))
            for pod in pods:
                for peer in peers:
                    source, target = (pod, peer) if direction == "egress" else (peer, pod)
                    yield from (Arrow(source, target, str(port)) for port in _ports(rule))


def _peers(found: Manifests, peers: Any) -> Iterator[str]:
    if not peers:
        yield "anybody"
    for peer in peers or ():
        if "ipBlock" in peer:
            yield INTERNET
        elif "namespaceSelector" in peer:
            labels = (peer["namespaceSelector"].get("matchLabels") or {}).values()
            yield f"namespace {next(iter(labels), 'any')}"
        else:
            yield from (_name(workload) for workload in found.matching(peer["podSelector"]))


def _ports(rule: Mapping[str, Any]) -> Iterable[Any]:
    return [port["port"] for port in rule.get("ports") or ()] or ["any"]


def _name(workload: Workload) -> str:
    return workload.labels.get(_COMPONENT, workload.name)


def policies(found: Manifests) -> Iterator[Finding]:
    """A policy selects pods and ports of theirs; none opens private networks; everything else is denied."""
    if not any(_denies_all(policy) for policy in found.of("NetworkPolicy")):
        yield Finding("NetworkPolicy", "none denies what no other allows")
    for policy in found.of("NetworkPolicy"):
        where, pods = (
            f"NetworkPolicy {policy['metadata']['name']}",
            found.matching(policy["spec"].get("podSelector") or {}),
        )
        if not pods:
            yield Finding(where, "selects no pods")
        for rule in policy["spec"].get("ingress") or ():
            for port in _ports(rule):
                for pod in pods:
                    if not any(port in one.port_names | one.port_numbers for one in pod.containers):
                        yield Finding(where, f"opens port {port}, which {pod.where} lacks")
        for rule in policy["spec"].get("egress") or ():
            for peer in rule.get("to") or ():
                yield from _block(where, peer.get("ipBlock"))


def _denies_all(policy: Any) -> bool:
    spec = policy["spec"]
    return (
        not spec.get("podSelector")
        and set(spec.get("policyTypes") or ()) == {"Ingress", "Egress"}
        and not spec.get("ingress")
        and not spec.get("egress")
    )


def _block(where: str, block: Any) -> Iterator[Finding]:
    if block is None:
        return
    network = ip_network(block["cidr"])
    spared = [ip_network(one) for one in block.get("except") or ()]
    for private in _PRIVATE if network.version == 4 else _PRIVATE_6:
        if network.supernet_of(private) and not any(one.supernet_of(private) for one in spared):  # type: ignore[arg-type]
            yield Finding(where, f"opens the private network {private}")


RULES = (policies,)
