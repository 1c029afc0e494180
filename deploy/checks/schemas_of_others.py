"""Short schemas for the kinds of KEDA and of the Prometheus operator: what we use of them, and no more."""

from typing import Any


def _object(required: list[str], properties: dict[str, Any], *, others: bool = False) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": others}


_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_SELECTOR = _object([], {"matchLabels": {"type": "object"}, "matchExpressions": {"type": "array"}})
_KEY = _object(["name", "key"], {"name": _TEXT, "key": _TEXT})

# What we use of them, by hand from their documentation: an unknown field is an error, where their own schemas might
# know it.
SPECS: dict[str, dict[str, Any]] = {
    "ScaledObject": _object(
        ["scaleTargetRef", "triggers"],
        {
            "scaleTargetRef": _object(["name"], {"name": _TEXT, "kind": _TEXT, "apiVersion": _TEXT}),
            "minReplicaCount": _COUNT,
            "maxReplicaCount": _COUNT,
            "pollingInterval": _COUNT,
            "cooldownPeriod": _COUNT,
            "advanced": _object([], {"horizontalPodAutoscalerConfig": _object([], {"behavior": {"type": "object"}})}),
            "triggers": {
                "type": "array",
                "minItems": 1,
                "items": _object(
                    ["type", "metadata"],
                    {
                        "type": {"const": "redis"},
                        "authenticationRef": _object(["name"], {"name": _TEXT}),
                        "metadata": _object(
                            ["address", "listName", "listLength"],
                            {
                                "address": {"type": "string", "pattern": r"^[a-z0-9.\-]+:\d+$"},
                                "listName": _TEXT,
                                "listLength": {"type": "string", "pattern": r"^[1-9]\d*$"},
                                "activationListLength": {"type": "string", "pattern": r"^\d+$"},
                                "databaseIndex": {"type": "string", "pattern": r"^\d+$"},
                                "enableTLS": {"enum": ["true", "false"]},
                            },
                        ),
                    },
                ),
            },
        },
    ),
    "TriggerAuthentication": _object(
        ["secretTargetRef"],
        {
            "secretTargetRef": {
                "type": "array",
                "items": _object(["parameter", "name", "key"], {"parameter": _TEXT, "name": _TEXT, "key": _TEXT}),
            }
        },
    ),
    "PodMonitor": _object(
        ["selector", "podMetricsEndpoints"],
        {
            "jobLabel": _TEXT,
            "selector": _SELECTOR,
            "podMetricsEndpoints": {
                "type": "array",
                "minItems": 1,
                "items": _object(
                    ["port"],
                    {
                        "port": _TEXT,
                        "path": {"type": "string", "pattern": "^/"},
                        "interval": {"type": "string", "pattern": r"^\d+[ms]$"},
                        "authorization": _object(["credentials"], {"credentials": _KEY, "type": _TEXT}),
                    },
                ),
            },
        },
    ),
    "PrometheusRule": _object(
        ["groups"],
        {
            "groups": {
                "type": "array",
                "items": _object(
                    ["name", "rules"],
                    {
                        "name": _TEXT,
                        "rules": {
                            "type": "array",
                            "items": _object(
                                ["expr", "alert"],
                                {
                                    "alert": _TEXT,
                                    "expr": _TEXT,
                                    "for": {"type": "string", "pattern": r"^\d+[smhd]$"},
                                    "labels": {"type": "object", "additionalProperties": _TEXT},
                                    "annotations": {"type": "object", "additionalProperties": _TEXT},
                                },
                            ),
                        },
                    },
                ),
            }
        },
    ),
}
HEAD = _object(
    ["apiVersion", "kind", "metadata", "spec"],
    {
        "apiVersion": _TEXT,
        "kind": _TEXT,
        "metadata": _object(["name"], {"name": _TEXT}, others=True),
        "spec": {"type": "object"},
    },
)
