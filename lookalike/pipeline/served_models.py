"""Which models a TorchServe should serve, and what makes it so. No input or output: what is done is the caller's.

Every registered version can be asked for, but each served one is a process with a model in memory. So the newest
version of each name and whatever is live in a gallery always have workers; an older version gets them when it is asked
for, and loses them when it has not been for a while.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from lookalike.embedding.remote_protocol import served_name
from lookalike.types.models import ModelManifest


@dataclass(frozen=True)
class Wanted:
    """One registered model. ``workers`` is 0 for one that waits to be asked for."""

    manifest: ModelManifest
    workers: int


@dataclass(frozen=True)
class Served:
    """What TorchServe says of one of its models. ``workers`` are asked for, ``alive`` exist, ``ready`` answer."""

    workers: int
    alive: int
    ready: int


@dataclass(frozen=True)
class Register:
    """Serve a model that is not served."""

    name: str
    workers: int


@dataclass(frozen=True)
class Scale:
    """Give a served model another number of workers, or those anew that it lost for good."""

    name: str
    workers: int


@dataclass(frozen=True)
class Unregister:
    """Serve a model no longer."""

    name: str


Action = Register | Scale | Unregister


def wanted_models(
    registered: Iterable[ModelManifest], live: Collection[str], asked: Collection[str], *, workers: int
) -> dict[str, Wanted]:
    """The registered models by the name under which they are served.

    Args:
        live: embedding digests of what galleries serve.
        asked: served names that were asked for lately.
        workers: for each model that has any.
    """
    manifests = list(registered)
    newest: dict[str, int] = {}
    for manifest in manifests:
        newest[manifest.name] = max(newest.get(manifest.name, 0), manifest.version or 0)
    found: dict[str, Wanted] = {}
    for manifest in manifests:
        name = served_name(manifest)
        always = (manifest.version or 0) == newest[manifest.name] or manifest.embedding_digest in live
        found[name] = Wanted(manifest, workers if always or name in asked else 0)
    return found


def plan(wanted: Mapping[str, int], served: Mapping[str, Served]) -> tuple[Action, ...]:
    """What makes the served models equal to ``wanted`` (workers by name), in the order in which to do it.

    What frees memory comes first. Nothing is done for what is as it should be, so that a second plan after the first
    is empty; a worker that is still starting is alive.
    """
    gone = [Unregister(name) for name in sorted(set(served) - set(wanted))]
    fewer = [
        Scale(name, wanted[name]) for name in sorted(served) if name in wanted and served[name].workers > wanted[name]
    ]
    more = [
        Scale(name, wanted[name])
        for name in sorted(served)
        if name in wanted
        and served[name].workers <= wanted[name]
        and (served[name].workers < wanted[name] or served[name].alive < wanted[name])
    ]
    new = [Register(name, workers) for name, workers in sorted(wanted.items()) if name not in served]
    return (*gone, *fewer, *more, *new)


def is_complete(wanted: Mapping[str, int], served: Mapping[str, Served]) -> bool:
    """Whether every wanted model is served with all its workers answering, and no other is served."""
    return wanted.keys() == served.keys() and all(served[name].ready >= workers for name, workers in wanted.items())
