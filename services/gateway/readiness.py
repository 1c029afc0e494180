"""What is ready, and the opening of what is live while the gateway already answers."""

import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from lookalike.errors import DependencyUnavailable, LookalikeError
from lookalike.pipeline.backends import describe_backends
from lookalike.pipeline.workspace import Workspace
from services.gateway.dependencies import OK, Dependencies

IN_PROCESS = "in process"
STOP_S = 5.0  # at the end of the process
RETRY_S = 5.0
FRESH_S = 1.0

_log = logging.getLogger(__name__)


class BackendReadiness(BaseModel):
    """``reason`` says why a backend is not available."""

    model_config = ConfigDict(frozen=True)

    available: bool
    reason: str | None = None


class Readiness(BaseModel):
    """``ready``; ``degraded`` while a server is away or something live could not be opened: what does not need it
    works as before; ``unavailable`` before the store has answered for the first time, when there is nothing to serve.

    What is live is opened in the background: ``opening`` until that is done.

    ``store``, ``queue``, ``embedder`` and ``qdrant`` are ``ok`` or why they do not answer; the last three are
    ``in process`` where the settings name no such server. Without a queue searches go on, and jobs wait in the store.

    ``galleries`` are those of the store's last answer, or before one, those that are open. ``problems`` are what could
    not be opened, by ``gallery/model/backend`` or by model; searches of it fail, others work. What wants a server that
    is down is tried again, and is no problem once it is open. Both are empty where keys are on.
    """

    model_config = ConfigDict(frozen=True)

    status: Literal["ready", "degraded", "unavailable"]
    store: str
    queue: str
    embedder: str
    qdrant: str
    opening: bool
    galleries: list[str]
    backends: dict[str, BackendReadiness]
    problems: dict[str, str]


class Opener:
    """Opens every live index and the default models' embedders in a thread, so that the first search finds them.

    As long as a server that is needed for it does not answer, all of it is tried again every ``retry_s`` seconds.
    """

    def __init__(self, workspace: Workspace, retry_s: float = RETRY_S) -> None:
        self._workspace = workspace
        self._retry_s = retry_s
        self._stopped = threading.Event()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._found: dict[str, LookalikeError] = {}
        self.problems: dict[str, str] = {}

    @property
    def is_opening(self) -> bool:
        return self._thread is not None and not self._done.is_set()

    def start(self) -> None:
        """Returns at once."""
        self._thread = threading.Thread(target=self._run, name="opener", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Whether everything has been opened, or tried, within that time."""
        return self._done.wait(timeout_s)

    def stop(self) -> None:
        """Ends after what is being opened; one that takes longer than that, such as a model, is left alone."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def _run(self) -> None:
        try:
            self._open_all()
            gc.collect()  # so that no garbage is kept
            gc.freeze()
        finally:
            self._done.set()
        while any(isinstance(error, DependencyUnavailable) for error in self._found.values()):
            if self._stopped.wait(self._retry_s):
                return
            self._open_all()

    def _open_all(self) -> None:
        former, self._found = self._found, {}
        self._try("store", self._open_galleries)
        self.problems = {what: error.message for what, error in self._found.items()}
        for what, error in self._found.items():
            if what not in former:
                # A damaged index, a server that is down: named in /readyz, and said again to whoever asks for it.
                _log.warning("%s cannot be opened: %s", what, error.message)
        for what in former.keys() - self._found.keys():
            _log.info("%s is no problem any more", what)

    def _open_galleries(self) -> None:
        models = set()
        for pointer in self._workspace.galleries.list():
            live = self._workspace.pointers.get(pointer.name)
            if live is None:
                continue
            served = self._workspace.serving.gallery(pointer.name)
            pairs = [(model, backend) for model, entry in live.models.items() for backend in sorted(entry.indexes)]
            for model, backend in pairs:
                self._try(
                    f"{pointer.name}/{model}/{backend}",
                    lambda model=model, backend=backend: served.index(model, backend),  # type: ignore[misc] # noqa: B023
                )
            models.add(live.default_model)
        for name in models:
            if name is not None:
                self._try(name, lambda name=name: warm(self._workspace, name))  # type: ignore[misc]

    def _try(self, what: str, step: Callable[[], object]) -> None:
        if self._stopped.is_set():
            return
        try:
            step()
        except LookalikeError as error:
            self._found[what] = error


def warm(workspace: Workspace, model: str) -> None:
    """Opens a model's embedder and embeds a black image: the first takes many times as long as those after it."""
    embedder = workspace.embedder(model)
    size = embedder.manifest.input_size
    embedder.embed(np.zeros((1, size, size, 3), np.uint8))


def warm_while_serving(workspace: Workspace, model: str) -> None:
    """As :func:`warm`, and takes what was opened out of later garbage collections, as the opening at start does.

    A model and its library are a million objects that stay: to look through them stops every search for half a second.
    """
    warm(workspace, model)
    gc.freeze()


class Readier:
    """Answers what is ready. ``checks`` ask the servers ``queue``, ``embedder`` and ``qdrant``, where there are any."""

    def __init__(
        self,
        workspace: Workspace,
        opener: Opener,
        checks: Mapping[str, Callable[[], object]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspace = workspace
        self._opener = opener
        self._galleries: list[str] | None = None
        self._dependencies = Dependencies({"store": self._list, **checks})
        self._clock = clock
        self._looking = threading.Lock()
        self._last: tuple[float, Readiness] | None = None

    def look(self) -> Readiness:
        """What is ready, at most a second ago; takes about a second where a server hangs.

        However many ask, one thread looks: the others have the answer from before, but for the first of all.
        """
        last = self._last
        if last is not None and (self._looking.locked() or self._clock() - last[0] < FRESH_S):
            return last[1]
        with self._looking:
            if self._last is not None and self._last is not last:
                return self._last[1]
            found = self._look()
            self._last = (self._clock(), found)
            return found

    def close(self) -> None:
        """Nothing is asked after it."""
        self._dependencies.close()

    def _look(self) -> Readiness:
        found = self._dependencies.look()
        listed, problems = self._galleries, dict(self._opener.problems)
        galleries = self._workspace.serving.names() if listed is None else listed
        if listed is None and not galleries:
            status: Literal["ready", "degraded", "unavailable"] = "unavailable"
        else:
            status = "degraded" if problems or set(found.values()) != {OK} else "ready"
        return Readiness(
            status=status,
            store=found["store"],
            queue=found.get("queue", IN_PROCESS),
            embedder=found.get("embedder", IN_PROCESS),
            qdrant=found.get("qdrant", IN_PROCESS),
            opening=self._opener.is_opening,
            galleries=galleries,
            backends={
                one.name: BackendReadiness(available=one.available, reason=one.unavailable_because)
                for one in describe_backends(self._workspace.backend, self._workspace.backend_names)
            },
            problems=problems,
        )

    def _list(self) -> None:
        self._galleries = [pointer.name for pointer in self._workspace.galleries.list()]
