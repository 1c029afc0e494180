"""Each rule says something against a build that breaks it, and nothing against one that does not."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from deploy.checks import arrows, pods, references, schemas, server, settings_rules, updates
from deploy.checks.__main__ import RULES
from deploy.checks.build import Combination
from deploy.checks.manifests import Finding, Manifests, matches, size_bytes

Break = Callable[[dict[str, Any]], object]
ALL = Combination("gpu", ("keda", "monitoring", "image-urls"))


def _pod(item: dict[str, Any]) -> dict[str, Any]:
    template = item["spec"]["jobTemplate"]["spec"] if item["kind"] == "CronJob" else item["spec"]
    pod: dict[str, Any] = template["template"]["spec"]
    return pod


def _container(item: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any] = _pod(item)["containers"][0]
    return container


def _say(name: str, value: str) -> Break:
    return lambda item: _container(item).setdefault("env", []).append({"name": name, "value": value})


def _set(path: str, value: object, of: Callable[[dict[str, Any]], Any] = lambda item: item) -> Break:
    """Puts ``value`` at a path of keys and numbers; None removes what is there."""

    def change(item: dict[str, Any]) -> None:
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(" ")]
        found = of(item)
        for step in steps:
            found = found[step]
        if value is None:
            del found[last]
        else:
            found[last] = value

    return change


# Rule, kind and name of what is broken, how, and what is to be said of it.
CASES: list[tuple[Callable[[Manifests], Any], str, str, Break, str]] = [
    (server.well_named, "Service", "gateway", _set("metadata name", "Gateway"), "name that is not allowed"),
    (server.well_named, "CronJob", "collect", _set("metadata name", "c" * 53), "name that is not allowed"),
    (server.well_named, "Service", "gateway", _set("metadata labels", {"app": "a b"}), "label app='a b'"),
    (server.well_named, "Service", "gateway", _set("metadata labels", {"app": True}), "label app=True"),
    (server.well_named, "Deployment", "gateway", _set("ports 0 name", "http-of-the-gateway", _container), "port"),
    (server.well_named, "Deployment", "gateway", _say("LOOKALIKE X", "1"), "variable 'LOOKALIKE X'"),
    (server.selects_itself, "Deployment", "gateway", _set("spec selector matchLabels", {"a": "b"}), "does not select"),
    (
        server.selects_itself,
        "Deployment",
        "gateway",
        _set("spec selector matchLabels", {"app.kubernetes.io/name": "lookalike"}),
        "selects the pods of Deployment indexer too",
    ),
    (server.measured, "Deployment", "gateway", _set("resources limits memory", "8GB", _container), "is no quantity"),
    (
        server.measured,
        "Deployment",
        "torchserve",
        _set("resources limits nvidia.com/gpu", "0.5", _container),
        "divided",
    ),
    (server.measured, "CronJob", "collect", _set("spec schedule", "every night"), "is no schedule"),
    (server.restarts_allowed, "Job", "setup", _set("restartPolicy", "Always", _pod), "restartPolicy Always"),
    (server.restarts_allowed, "Deployment", "gateway", _set("restartPolicy", "Never", _pod), "restartPolicy Never"),
    (server.small_enough, "Service", "gateway", _set("metadata annotations", {"a": "b" * 300_000}), "apply takes"),
    (pods.restricted, "Deployment", "gateway", _set("hostNetwork", True, _pod), "hostNetwork is on"),
    (pods.restricted, "Deployment", "gateway", _set("securityContext runAsUser", 0, _pod), "runAsUser other than 0"),
    (pods.restricted, "Deployment", "gateway", _set("securityContext seccompProfile", None, _pod), "seccompProfile"),
    (pods.restricted, "CronJob", "collect", _set("volumes 0", {"name": "x", "hostPath": {}}, _pod), "no allowed type"),
    (pods.restricted, "Job", "setup", _set("securityContext privileged", True, _container), "is privileged"),
    (
        pods.restricted,
        "Job",
        "setup",
        _set("securityContext capabilities add", ["NET_RAW"], _container),
        "capabilities",
    ),
    (
        pods.restricted,
        "StatefulSet",
        "redis",
        _set("securityContext allowPrivilegeEscalation", True, _container),
        "escalation",
    ),
    (
        pods.restricted,
        "StatefulSet",
        "redis",
        _set("securityContext readOnlyRootFilesystem", None, _container),
        "can be written",
    ),
    (pods.restricted, "Deployment", "gateway", _set("ports 0 hostPort", 80, _container), "takes port 80 of its node"),
    (pods.without_tokens, "Deployment", "gateway", _set("automountServiceAccountToken", None, _pod), "automount"),
    (
        pods.without_tokens,
        "Deployment",
        "gateway",
        _set("serviceAccountName", "admin", _pod),
        "no ServiceAccount admin",
    ),
    (pods.without_tokens, "Deployment", "gateway", _set("serviceAccountName", None, _pod), "default service account"),
    (pods.without_tokens, "ServiceAccount", "gateway", _set("automountServiceAccountToken", True), "automount"),
    (pods.without_service_links, "Job", "setup", _set("enableServiceLinks", True, _pod), "enableServiceLinks"),
    (pods.limited, "Deployment", "indexer", _set("resources limits memory", None, _container), "limit of memory"),
    (
        pods.limited,
        "Deployment",
        "indexer",
        _set("resources requests memory", "1Ti", _container),
        "more memory than its limit",
    ),
    (pods.limited, "Deployment", "indexer", _set("volumes 0 emptyDir", {}, _pod), "no sizeLimit"),
    (pods.limited, "Deployment", "indexer", _set("volumes 0 emptyDir sizeLimit", "900Gi", _pod), "may take"),
    (pods.probed, "Deployment", "embedder", _set("livenessProbe", None, _container), "no livenessProbe"),
    (pods.probed, "Deployment", "embedder", _set("startupProbe httpGet port", "https", _container), "names no port"),
    (
        pods.probed,
        "Deployment",
        "embedder",
        _set("livenessProbe httpGet path", "/readyz", _container),
        "would be restarted",
    ),
    (pods.pinned, "Deployment", "gateway", _set("image", "lookalike/gateway", _container), "neither tag nor digest"),
    (pods.pinned, "Deployment", "gateway", _set("image", "lookalike/gateway:latest", _container), "tag that moves"),
    (pods.pinned, "StatefulSet", "redis", _set("image", "hub.example/redis:7.2.12", _container), "names a registry"),
    (
        pods.without_plain_secrets,
        "Deployment",
        "gateway",
        _say("LOOKALIKE_QDRANT__API_KEY", "abc"),
        "secret in the variable",
    ),
    (
        pods.without_plain_secrets,
        "Deployment",
        "gateway",
        lambda item: _container(item)["envFrom"].append({"secretRef": {"name": "all"}}),
        "all of all in its environment",
    ),
    (updates.rolling, "Deployment", "gateway", _set("spec strategy type", "Recreate"), "not updated pod by pod"),
    (updates.rolling, "Deployment", "torchserve", _set("spec replicas", 1), "may have no pod"),
    (updates.drained, "Deployment", "indexer", _set("terminationGracePeriodSeconds", 30, _pod), "gets 30 s to end"),
    (updates.drained, "Deployment", "gateway", _set("lifecycle", None, _container), "preStop"),
    (updates.budgeted, "PodDisruptionBudget", "gateway", _set("spec maxUnavailable", 0), "drained forever"),
    (
        updates.budgeted,
        "PodDisruptionBudget",
        "gateway",
        _set("spec selector matchLabels", {"a": "b"}),
        "selects no pods",
    ),
    (
        updates.budgeted,
        "PodDisruptionBudget",
        "gateway",
        _set("spec selector matchLabels", {"a": "b"}),
        "has no PodDis",
    ),
    (updates.spread, "Deployment", "gateway", _set("topologySpreadConstraints", [], _pod), "not spread over nodes"),
    (
        updates.spread,
        "StatefulSet",
        "qdrant",
        _set("topologySpreadConstraints 0 labelSelector matchLabels", {"a": "b"}, _pod),
        "other pods than its own",
    ),
    (references.unique, "Service", "gateway", _set("metadata name", "qdrant"), "is there twice"),
    (references.mounted, "Deployment", "gateway", _set("volumeMounts 0 name", "nothing", _container), "is no volume"),
    (references.mounted, "Deployment", "gateway", _set("volumeMounts 0", None, _container), "is mounted nowhere"),
    (
        references.mounted,
        "Deployment",
        "gateway",
        _set("envFrom 0 configMapRef name", "no", _container),
        "no ConfigMap no",
    ),
    (references.mounted, "StatefulSet", "redis", _set("volumes 2 secret items 0 key", "no", _pod), "has no no"),
    (references.mounted, "StatefulSet", "redis", _set("volumes 2 secret secretName", "no", _pod), "no Secret no"),
    (references.served, "Service", "gateway", _set("spec selector", {"a": "b"}), "selects no pods"),
    (references.served, "Service", "gateway", _set("spec ports 0 targetPort", "https"), "leads to port https"),
    (
        references.served,
        "Ingress",
        "gateway",
        _set("spec rules 0 http paths 0 backend service name", "no"),
        "no Service no",
    ),
    (references.served, "StatefulSet", "qdrant", _set("spec serviceName", "no"), "no Service no"),
    (
        references.scaled,
        "HorizontalPodAutoscaler",
        "gateway",
        _set("spec scaleTargetRef name", "no"),
        "no Deployment no",
    ),
    (references.scaled, "Deployment", "gateway", _set("spec replicas", 2), "says replicas too"),
    (references.scaled, "ScaledObject", "embedder", _set("spec scaleTargetRef name", "indexer"), "is scaled by two"),
    (references.scaled, "TriggerAuthentication", "queue", _set("spec secretTargetRef 0 key", "no"), "has no no"),
    (references.scaled, "Service", "redis", _set("metadata name", "no"), "measures redis.lookalike.svc"),
    (references.monitored, "PodMonitor", "workers", _set("spec podMetricsEndpoints 0 port", "no"), "asks for port no"),
    (
        references.monitored,
        "PodMonitor",
        "qdrant",
        _set("spec podMetricsEndpoints 0 authorization credentials key", "no"),
        "no",
    ),
    (references.same_namespace, "Service", "gateway", _set("metadata namespace", "default"), "in no namespace"),
    (references.same_namespace, "Namespace", "lookalike", _set("metadata labels", {}), "does not enforce"),
    (arrows.policies, "NetworkPolicy", "to-redis", _set("spec podSelector matchLabels", {"a": "b"}), "selects no pods"),
    (arrows.policies, "NetworkPolicy", "redis", _set("spec ingress 0 ports 0 port", "no"), "opens port no"),
    (arrows.policies, "NetworkPolicy", "to-image-urls", _set("spec egress 0 to 0 ipBlock except", []), "10.0.0.0/8"),
    (arrows.policies, "NetworkPolicy", "to-image-urls", _set("spec egress 0 to 1 ipBlock cidr", "::/0"), "fc00::/7"),
    (arrows.policies, "NetworkPolicy", "default-deny", _set("spec policyTypes", ["Ingress"]), "none denies"),
    (settings_rules.known_settings, "Deployment", "gateway", _say("LOOKALIKE_GATEWAY__HOTS", "x"), "is no setting"),
    (settings_rules.known_settings, "Deployment", "gateway", _say("LOOKALIKE_GATEWAY__PORT", "web"), "does not start"),
    (
        settings_rules.known_settings,
        "Deployment",
        "gateway",
        _say("LOOKALIKE_QUEUE__URL_FILE", "/run/secrets/queue/redis-password"),  # in the Secret, and not mounted
        "no such file is mounted",
    ),
    (settings_rules.servers_there, "Service", "torchserve", _set("metadata name", "torch"), "names torchserve"),
    (
        settings_rules.writable_cache,
        "Deployment",
        "gateway",
        _say("LOOKALIKE_STORAGE__CACHE", "/cache"),
        "cannot write its cache",
    ),
    (
        settings_rules.writable_cache,
        "Deployment",
        "gateway",
        _say("LOOKALIKE_STORAGE__CACHE_MAX_BYTES", "99999999999"),
        "outgrow",
    ),
    (
        settings_rules.writable_cache,
        "Job",
        "setup",
        _set("volumeMounts 1 mountPath", "/scratch", _container),
        "to /tmp",
    ),
    (settings_rules.known_commands, "Job", "setup", _set("command 1", "set-up", _container), "no command set-up"),
    (
        settings_rules.known_commands,
        "CronJob",
        "collect",
        _set("command", ["lookalike", "collect", "--alll"], _container),
        "--alll",
    ),
    (
        settings_rules.known_commands,
        "CronJob",
        "trainer",
        _set("args 0", "exec lookalike trian x", _container),
        "trian",
    ),
    (settings_rules.queue_lists, "Deployment", "indexer", _say("LOOKALIKE_QUEUE__PREFIX", "b:"), "measure 'b:index'"),
    (
        settings_rules.queue_lists,
        "ScaledObject",
        "indexer",
        _set("spec triggers 0 metadata listName", "idnex"),
        "idnex",
    ),
]


def broken(whole: Manifests, kind: str, name: str, change: Break) -> Manifests:
    items = [deepcopy(dict(item)) for item in whole.items]
    found = [item for item in items if item["kind"] == kind and item["metadata"]["name"] == name]
    assert len(found) == 1, f"no {kind} {name}"
    change(found[0])
    return Manifests(items)


@pytest.mark.parametrize(
    ("rule", "kind", "name", "change", "said"), CASES, ids=[f"{case[0].__name__}: {case[4]}" for case in CASES]
)
def test_a_rule_fires(
    rule: Callable[[Manifests], Any],
    kind: str,
    name: str,
    change: Break,
    said: str,
    built: Callable[[Combination], Manifests],
) -> None:
    whole = built(ALL)
    assert list(rule(whole)) == []
    found: list[Finding] = list(rule(broken(whole, kind, name, change)))
    assert any(said in str(finding) for finding in found), found


def test_every_rule_is_shown_to_fire() -> None:
    assert {case[0] for case in CASES} == set(RULES)


@pytest.mark.parametrize("version", schemas.versions())
@pytest.mark.parametrize(
    ("kind", "name", "change", "said"),
    [
        ("Deployment", "gateway", _set("spec replica", 2), "replica"),
        (
            "Deployment",
            "gateway",
            _set("spec template spec containers 0 ports 0 containerPort", "http"),
            "containerPort",
        ),
        ("CronJob", "collect", _set("apiVersion", "batch/v1beta1"), "Couldn't find schema"),
        ("ScaledObject", "embedder", _set("spec triggers 0 metadata listLenght", "5"), "listLenght"),
        ("PrometheusRule", "lookalike", _set("spec groups 0 rules 0 for", 5), "for"),
        ("PodMonitor", "workers", _set("kind", "PodMonitr"), "nobody here knows"),
    ],
)
def test_a_schema_fires(
    version: str, kind: str, name: str, change: Break, said: str, built: Callable[[Combination], Manifests]
) -> None:
    found = list(map(str, schemas.checked(broken(built(ALL), kind, name, change), version)))
    assert len(found) == 1
    assert said in found[0]
    assert version in found[0]


def test_arrows_need_both_ends(built: Callable[[Combination], Manifests]) -> None:
    whole = built(Combination("local"))
    closed = broken(whole, "NetworkPolicy", "redis", _set("spec ingress", []))
    assert {arrow.target for arrow in arrows.allowed(whole) - arrows.allowed(closed)} == {"redis"}
    deaf = broken(whole, "NetworkPolicy", "to-redis", _set("spec egress", []))
    assert {arrow.target for arrow in arrows.allowed(whole) - arrows.allowed(deaf)} == {"redis"}


def test_kinds_of_others_are_said_to_be_checked_in_part(built: Callable[[Combination], Manifests]) -> None:
    assert [name.partition(" ")[2] for name in schemas.unchecked(built(ALL))] == [
        "ScaledObject",
        "TriggerAuthentication",
        "PodMonitor",
        "PrometheusRule",
    ]


def test_sizes() -> None:
    assert [size_bytes(text) for text in ("2Gi", "1.5Ki", "3M", "17", 5)] == [2 * 2**30, 1536, 3_000_000, 17, 5]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, True),
    ],
)
def test_selectors(selector: dict[str, Any], expected: bool) -> None:
    assert matches(selector, {"a": "1"}) is expected
