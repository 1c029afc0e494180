"""Whether objects are what Kubernetes takes: its own schemas, and short ones of ours for the kinds of others."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
from kubernetes_validate import SchemaNotFoundError, utils
from referencing import Registry, Resource

from deploy.checks.manifests import Finding, Manifests
from deploy.checks.schemas_of_others import HEAD, SPECS

VERSIONS_CHECKED = 3
_GROUPS_OF_OTHERS = ("keda.sh", "monitoring.coreos.com")


def versions() -> list[str]:
    """The last versions of Kubernetes that the installed schemas know, oldest first: ``1.37``."""
    known = dict.fromkeys(utils.major_minor(version) for version in utils.all_versions())
    return list(known)[-VERSIONS_CHECKED:]


def unchecked(found: Manifests) -> list[str]:
    """Kinds that no schema describes in full: ours say only what we use of them."""
    return sorted({f"{item['apiVersion']} {item['kind']}" for item in found.items if _is_of_others(item)})


def checked(found: Manifests, version: str) -> Iterator[Finding]:
    """What the schemas of that version refuse, unknown fields too."""
    for item in found.items:
        where = f"{item['kind']} {item['metadata']['name']} (Kubernetes {version})"
        try:
            if _is_of_others(item):
                _validator("head").validate(item)
                _validator(item["kind"]).validate(item["spec"])
            else:
                _kubernetes(version, item["kind"], item["apiVersion"]).validate(item)
        except KeyError:
            yield Finding(where, "nobody here knows this kind")
        except SchemaNotFoundError as error:
            yield Finding(where, error.message)
        except jsonschema.ValidationError as error:
            yield Finding(where, f"{'.'.join(str(step) for step in error.path)}: {error.message:.300}")


def _is_of_others(item: Any) -> bool:
    return str(item["apiVersion"]).partition("/")[0] in _GROUPS_OF_OTHERS


@cache
def _validator(kind: str) -> Any:
    return jsonschema.Draft202012Validator(HEAD if kind == "head" else SPECS[kind])


@cache
def _kubernetes(version: str, kind: str, api_version: str) -> Any:
    """As kubernetes_validate.validate makes it for each object anew, which takes most of a second."""
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    try:
        schema = _schema(version, f"{kind.lower()}-{group}.json")
    except FileNotFoundError:
        raise SchemaNotFoundError(version=version, kind=kind, api_version=api_version) from None
    known = Resource.from_contents(schema) @ Registry()
    return jsonschema.Draft202012Validator(schema, registry=_definitions(version) @ known)


@cache
def _definitions(version: str) -> Any:
    return Resource.from_contents(_schema(version, "_definitions.json"))


def _schema(version: str, name: str) -> Any:
    full = [known for known in utils.all_versions() if utils.major_minor(known) == version][-1]
    return utils.schema_contents(f"kubernetes-json-schema/v{full}-local-strict/{name}", version)
