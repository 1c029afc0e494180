"""Makes the models that TorchServe serves equal to the registered ones, one round at a time, and says what it did."""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from lookalike.catalog.galleries import Galleries
from lookalike.catalog.live import LivePointers
from lookalike.catalog.models import Models
from lookalike.embedding.batching import Batching
from lookalike.errors import LookalikeError
from lookalike.pipeline.served_models import (
    Action,
    Register,
    Scale,
    Served,
    Unregister,
    Wanted,
    is_complete,
    plan,
    wanted_models,
)
from lookalike.settings import TorchServeSettings
from lookalike.telemetry.declared import TORCHSERVE_ACTIONS, TORCHSERVE_MODELS
from lookalike.telemetry.logs import fields
from lookalike.telemetry.metrics import Recorder
from lookalike.types.served import Round, ServedModel
from services.embedder.torchserve.archives import ArchiveFolder
from services.embedder.torchserve.management import Management

_log = logging.getLogger(__name__)


class Reconciler:
    """Of one TorchServe. Rounds come one after another; the other methods may be called by any thread meanwhile."""

    def __init__(
        self,
        models: Models,
        galleries: Galleries,
        pointers: LivePointers,
        archives: ArchiveFolder,
        options: TorchServeSettings,
        recorder: Recorder,
        *,
        workers: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._galleries = galleries
        self._pointers = pointers
        self._archives = archives
        self._options = options
        self._recorder = recorder
        self._workers = workers
        self._now = now
        self._asked: dict[str, float] = {}
        self._wanted: Mapping[str, Wanted] = {}
        self._failing: dict[str, str] = {}
        self._one_round = threading.Lock()

    def ask(self, name: str) -> bool:
        """Notes that a model was asked for, by the name under which it is served. Whether it has workers by plan."""
        wanted = self._wanted.get(name)
        if wanted is None:
            return False
        self._asked[name] = self._now()
        return wanted.workers > 0

    def is_registered(self, name: str) -> bool:
        """As of the last round."""
        return name in self._wanted

    def round(self, management: Management) -> Round:
        """Raises DependencyUnavailable where TorchServe does not answer.

        While the store does not, the models are those that were registered before. What fails for one model is in the
        round's errors, and the others are done.
        """
        with self._one_round:
            return self._round(management)

    def _round(self, management: Management) -> Round:
        errors: list[str] = []
        try:
            self._wanted = self._read_wanted()
        except LookalikeError as error:
            errors.append(error.message)
        workers = {name: wanted.workers for name, wanted in self._wanted.items()}
        actions: list[str] = []
        for action in plan(workers, management.served()):
            kind = type(action).__name__.lower()
            try:
                self._do(action, management)
            except LookalikeError as error:
                self._recorder.count(TORCHSERVE_ACTIONS, action=kind, outcome=error.code)
                errors.append(f"{kind} {action.name}: {error.message}")
            except OSError as error:  # of this machine, such as a disk that is full
                self._recorder.count(TORCHSERVE_ACTIONS, action=kind, outcome="internal")
                errors.append(f"{kind} {action.name}: {error.strerror or type(error).__name__}")
            else:
                self._recorder.count(TORCHSERVE_ACTIONS, action=kind, outcome="ok")
                actions.append(self._said(action))
                _log.info("TorchServe: %s", actions[-1], extra=fields(action=kind, served_name=action.name))
        served = management.served()
        self._count(workers, served)
        self._warn(errors)
        return Round(
            actions=tuple(actions),
            errors=tuple(errors),
            models=self._states(served),
            complete=not errors and is_complete(workers, served),
        )

    def _read_wanted(self) -> Mapping[str, Wanted]:
        live = {
            entry.model_digest
            for gallery in self._galleries.list()
            if (found := self._pointers.get(gallery.name)) is not None
            for entry in found.models.values()
        }
        since = self._now() - self._options.idle_s
        asked = {name for name, at in dict(self._asked).items() if at > since}
        return wanted_models(self._models.list(), live, asked, workers=self._workers)

    def _do(self, action: Action, management: Management) -> None:
        match action:
            case Register(name, workers):
                placed = self._archives.put(name, self._wanted[name].manifest)
                batching = Batching(requests=self._options.batch_requests, delay_ms=self._options.batch_delay_ms)
                management.register(
                    name, placed.file, workers=workers, batching=None if placed.says_how_to_batch else batching
                )
            case Scale(name, workers):
                management.scale(name, workers)
            case Unregister(name):
                management.unregister(name)
                self._archives.remove(name)

    def _said(self, action: Action) -> str:
        known = self._wanted.get(action.name)
        model = f"{action.name} ({known.manifest.ref})" if known is not None else action.name
        match action:
            case Register(_, workers):
                return f"registered {model} with {workers} workers"
            case Scale(_, workers):
                return f"scaled {model} to {workers} workers"
            case Unregister():
                return f"unregistered {model}"

    def _states(self, served: Mapping[str, Served]) -> dict[str, ServedModel]:
        return {
            name: ServedModel(
                model=str(wanted.manifest.ref),
                workers=wanted.workers,
                ready=served[name].ready if name in served else 0,
            )
            for name, wanted in sorted(self._wanted.items())
        }

    def _count(self, wanted: Mapping[str, int], served: Mapping[str, Served]) -> None:
        ready = sum(1 for name, n in wanted.items() if n and name in served and served[name].ready >= n)
        idle = sum(1 for workers in wanted.values() if not workers)
        for state, number in (("ready", ready), ("idle", idle), ("starting", len(wanted) - ready - idle)):
            self._recorder.set(TORCHSERVE_MODELS, number, state=state)

    def _warn(self, errors: list[str]) -> None:
        """Each error once, as long as it lasts."""
        present = dict.fromkeys(errors, "")
        for message in errors:
            if message not in self._failing:
                _log.warning("TorchServe: %s", message)
        self._failing = present
