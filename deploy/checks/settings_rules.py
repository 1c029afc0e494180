"""Rules of our own processes: their settings and commands are what the code knows."""

import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import typer

from deploy.checks.manifests import Container, Finding, Manifests, size_bytes
from lookalike.cli.app import app
from lookalike.errors import InvalidRequest
from lookalike.jobs.steps import Queue
from lookalike.settings import load, names
from lookalike.settings_sources import CONFIG, PREFIX, variable

_OURS = "lookalike/"
_SERVERS = ("storage.s3_endpoint", "queue.url", "qdrant.url", "embedder.url", "backup.s3_endpoint")
_SEPARATOR = "\x06\x16"
PRIORITIES = (0, 5)  # urgent and usual, of lookalike/jobs/celery_queue.py; a test sends one of each
WORKS_FOR = {"embedder": (Queue.EMBED,), "indexer": (Queue.INDEX, Queue.EVALUATE)}


def environment(found: Manifests, container: Container) -> dict[str, str]:
    """The variables of a container, as Kubernetes puts them together."""
    said: dict[str, str] = {}
    for source in container.spec.get("envFrom", ()):
        for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if field in source:
                said |= found.values(kind, source[field]["name"]) or {}
    return said | {one["name"]: str(one.get("value", "")) for one in container.spec.get("env", ())}


def mounted_file(found: Manifests, container: Container, path: str) -> str | None:
    """What a file in the container holds; None where no ConfigMap or Secret is mounted there with it."""
    for mount in container.spec.get("volumeMounts", ()):
        below = PurePosixPath(path)
        if not below.is_relative_to(mount["mountPath"]):
            continue
        name = str(below.relative_to(mount["mountPath"]))
        volume = container.workload.volumes.get(mount["name"]) or {}
        for kind, field, key in (("Secret", "secret", "secretName"), ("ConfigMap", "configMap", "name")):
            if field in volume:
                values = found.values(kind, volume[field][key]) or {}
                items = {item["path"]: item["key"] for item in volume[field].get("items", ())} or {k: k for k in values}
                return values.get(items.get(name, ""))
    return None


def known_settings(found: Manifests) -> Iterator[Finding]:
    """Every variable of ours is a setting, every file that one names is mounted, and the code takes all of it."""
    known = {variable(name) for name in names()} | {CONFIG}
    for container in _ours(found):
        for name, value in environment(found, container).items():
            base = name.removesuffix("_FILE")
            if not name.startswith(PREFIX):
                continue
            if name not in known and base not in known:
                yield Finding(container.where, f"{name} is no setting")
            elif name not in known and value and mounted_file(found, container, value) is None:
                yield Finding(container.where, f"{name} names {value}, and no such file is mounted")
        try:
            load(resolved(found, container))
        except InvalidRequest as error:
            yield Finding(container.where, f"does not start: {error.message}")


def resolved(found: Manifests, container: Container) -> dict[str, str]:
    """The settings of a container, with what is in the files that they name."""
    known, said = {variable(name) for name in names()}, environment(found, container)
    values = {name: value for name, value in said.items() if name in known}
    files = {name.removesuffix("_FILE"): value for name, value in said.items() if name.endswith("_FILE") and value}
    contents = {name: mounted_file(found, container, path) for name, path in files.items() if name in known}
    return {**values, **{name: content.strip() for name, content in contents.items() if content is not None}}


def servers_there(found: Manifests) -> Iterator[Finding]:
    """A server that is named without a domain is a Service here; of others the whole name is said."""
    for container in _ours(found):
        said = resolved(found, container)
        for name in _SERVERS:
            host = urlsplit(said.get(variable(name), "")).hostname
            if host and "." not in host and found.find("Service", host) is None:
                yield Finding(container.where, f"{variable(name)} names {host}, and there is no such Service")


def writable_cache(found: Manifests) -> Iterator[Finding]:
    """The cache is on a volume that is larger than it may become; /tmp can be written."""
    for container in _ours(found):
        said = environment(found, container)
        mounts = {mount["mountPath"]: mount for mount in container.spec.get("volumeMounts", ())}
        if "/tmp" not in mounts:  # noqa: S108 the folder of the container
            yield Finding(container.where, "cannot write to /tmp")
        cache = PurePosixPath(said.get(variable("storage.cache"), "/"))
        mount = next(
            (one for path, one in mounts.items() if cache.is_relative_to(path) and not one.get("readOnly")), None
        )
        if mount is None:
            yield Finding(container.where, f"cannot write its cache at {cache}")
            continue
        limit = ((container.workload.volumes[mount["name"]].get("emptyDir")) or {}).get("sizeLimit")
        most = said.get(variable("storage.cache_max_bytes"))
        if container.workload.runs_for_long and limit is not None and (most is None or int(most) >= size_bytes(limit)):
            yield Finding(container.where, f"its cache may outgrow the volume of {limit}, which evicts the pod")


def known_commands(found: Manifests) -> Iterator[Finding]:
    """Commands of Lookalike exist, with these options."""
    for container in _ours(found):
        for words in _calls(container):
            problem = command_problem(words)
            if problem is not None:
                yield Finding(container.where, f"{' '.join(words)}: {problem}")


def command_problem(words: list[str]) -> str | None:
    """Why ``lookalike …`` is no command line; None if it is one."""
    group: Any = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(group, "commands"):
        if not rest or rest[0] not in group.commands:
            return f"there is no command {rest[0] if rest else ''}"
        group, rest = group.commands[rest[0]], rest[1:]
    options = {option for parameter in group.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in rest if word.startswith("--") and word != "--json" and word not in options]
    return f"there is no option {unknown[0]}" if unknown else None


def _calls(container: Container) -> Iterator[list[str]]:
    command = [*container.spec.get("command", ()), *container.spec.get("args", ())]
    if command[:1] == ["lookalike"]:
        yield command
    elif command[:2] == ["sh", "-c"]:
        for line in command[2].splitlines():
            words = shlex.split(line, comments=True)
            if "lookalike" in words:
                yield words[words.index("lookalike") :]


def _ours(found: Manifests) -> list[Container]:
    return [one for one in found.containers if _OURS in str(one.spec.get("image", ""))]


def queue_lists(found: Manifests) -> Iterator[Finding]:
    """What KEDA measures are lists in which Celery keeps messages; each list of a worker's queues is measured."""
    measured: dict[str, set[str]] = {}
    for scaler in found.of("ScaledObject"):
        name = scaler["metadata"]["name"]
        measured[name] = {trigger["metadata"]["listName"] for trigger in scaler["spec"]["triggers"]}
    for name, lists in measured.items():
        prefix = next((_prefix(found, one) for one in _ours(found) if one.spec["name"] == name), "")
        queues = WORKS_FOR.get(name, ())
        expected = {prefix + message_list(queue, priority) for queue in queues for priority in PRIORITIES}
        for one in sorted(lists - expected):
            yield Finding(f"ScaledObject {name}", f"measures {one!r}, where no message of it waits")
        for one in sorted(expected - lists):
            yield Finding(f"ScaledObject {name}", f"does not measure {one!r}")


def _prefix(found: Manifests, worker: Container) -> str:
    return resolved(found, worker).get(variable("queue.prefix"), "")


def message_list(queue: Queue, priority: int) -> str:
    """The Redis list of a queue's messages of one priority, as Celery's transport names it: the first has no number."""
    return f"{queue}{_SEPARATOR}{priority}" if priority else str(queue)


RULES = (known_settings, servers_there, writable_cache, known_commands, queue_lists)
