"""``python -m services.embedder.torchserve``: TorchServe, supervised, with the models of the store.

Everything is set by ``LOOKALIKE_TORCHSERVE__*``, ``LOOKALIKE_EMBEDDER__*`` and ``LOOKALIKE_STORAGE__*``. It runs until
SIGTERM or Ctrl-C; how it ended is its exit status, see :class:`services.embedder.torchserve.supervisor.Exit`.
"""

import asyncio
import logging
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from lookalike.bootstrap import wire
from lookalike.embedding.cores import available_cores
from lookalike.errors import InvalidRequest, LookalikeError, MissingExtra
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import Settings, load
from lookalike.settings_sources import variable
from lookalike.telemetry.declared import HTTP, TORCHSERVE
from lookalike.telemetry.metrics import Recorder, exposed
from lookalike.telemetry.process import observed
from services.embedder.torchserve.archives import ArchiveFolder
from services.embedder.torchserve.budget import Budget
from services.embedder.torchserve.configuration import (
    MODEL_STORE,
    Ports,
    command,
    environment,
    write_configuration,
)
from services.embedder.torchserve.front import Parts, create_front
from services.embedder.torchserve.java import find_java
from services.embedder.torchserve.listening import Listener, bind, free_port, port_of
from services.embedder.torchserve.metrics_page import create_metrics_page
from services.embedder.torchserve.process import TorchServeProcess
from services.embedder.torchserve.reconciler import Reconciler
from services.embedder.torchserve.run_folder import run_folder
from services.embedder.torchserve.supervisor import Exit, Supervisor
from services.embedder.torchserve.upstream import Upstream

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_log = logging.getLogger("services.embedder.torchserve")


def main() -> int:
    try:
        settings = load()
        _check(settings)
        with observed(settings, "torchserve"):
            workspace = wire(settings)
            try:
                with run_folder(settings.storage.cache.absolute() / "torchserve") as folder:
                    return asyncio.run(_supervise(settings, workspace, folder))
            finally:
                workspace.close()
    except LookalikeError as error:
        print(error.message, file=sys.stderr)  # noqa: T201 the log may not be set up
        return Exit.MISSING if isinstance(error, MissingExtra) else Exit.SETTINGS


def _check(settings: Settings) -> None:
    """Raises InvalidRequest where anybody in the network could use it."""
    if settings.torchserve.host not in _LOOPBACK and settings.embedder.token is None:
        raise InvalidRequest(
            f"{variable('embedder.token')} (or …_FILE) must be set: {variable('torchserve.host')} is not this machine"
        )


async def _supervise(settings: Settings, workspace: Workspace, folder: Path) -> Exit:
    options = settings.torchserve
    try:
        inference, metrics = bind(options.host, options.port), bind(options.host, options.metrics_port)
    except OSError as error:
        _log.error("cannot listen on %s: %s", options.host, error)
        return Exit.PORT_TAKEN
    ports = Ports(free_port(), options.management_port or free_port(), free_port(), free_port(), free_port())
    workers = options.workers or _num_gpus() or 1
    threads = settings.embedder.threads or max(available_cores() // workers, 1)
    write_configuration(folder, ports, settings)
    started = command(folder, find_java(), settings)
    variables = environment(settings, threads=threads)
    recorder = Recorder((*HTTP, *TORCHSERVE))
    registry = exposed(recorder)
    upstream = Upstream(ports.inference_url, connections=options.queue_requests)
    reconciler = Reconciler(
        workspace.models,
        workspace.galleries,
        workspace.pointers,
        ArchiveFolder(folder / MODEL_STORE, workspace.models, workspace.artifacts),
        options,
        recorder,
        workers=workers,
    )
    # TorchServe copies each request, and its answers and itself want memory too.
    budget = Budget((options.java_heap_mb << 20) // 4, options.queue_requests)
    supervisor = Supervisor(
        partial(TorchServeProcess.start, started, variables, folder),
        upstream,
        reconciler,
        ports.management_url,
        recorder,
        budget,
        poll_s=options.poll_s,
        drain_s=options.drain_s,
    )
    token = settings.embedder.token
    parts = Parts(
        upstream=upstream,
        reconciler=reconciler,
        budget=budget,
        health=supervisor.health,
        look_now=supervisor.look_now,
        reconcile=supervisor.reconcile,
        token=None if token is None else token.get_secret_value(),
    )
    listeners = [
        Listener(create_front(parts, recorder), inference),
        Listener(create_metrics_page(registry, ports.metrics_url), metrics),
    ]
    serving = [asyncio.create_task(listener.run_here()) for listener in listeners]
    _log.info("embeddings on port %d, metrics on port %d", port_of(inference), port_of(metrics))
    try:
        return await supervisor.run()
    finally:
        for listener in listeners:
            listener.should_exit = True
        await asyncio.gather(*serving)
        await upstream.close()


def _num_gpus() -> int:
    """As many as NVIDIA's tool lists; without it, none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)  # noqa: S603
    return sum(1 for line in listed.stdout.splitlines() if line.startswith("GPU "))


if __name__ == "__main__":
    sys.exit(main())
