"""What is stuck in TorchServe, or fails beside it, holds up nothing else."""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from real_servers import wait_until

from lookalike.bootstrap import wire
from lookalike.pipeline.models import import_model
from lookalike.pipeline.served_models import Served
from lookalike.settings import load
from lookalike.telemetry.declared import TORCHSERVE
from lookalike.telemetry.metrics import Recorder
from services.embedder.torchserve.archives import ArchiveFolder
from services.embedder.torchserve.budget import Budget
from services.embedder.torchserve.keys import Keys
from services.embedder.torchserve.process import TorchServeProcess
from services.embedder.torchserve.reconciler import Reconciler
from services.embedder.torchserve.supervisor import Exit, Supervisor
from services.embedder.torchserve.upstream import Upstream

_LONG_LINE = """
import pathlib, sys, time
sys.stdout.write("x" * (3 << 20) + "\\n")
for number in range(100_000):
    print("line", number)
pathlib.Path("written").touch()
time.sleep(60)
"""
_DEAF = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
pathlib.Path("half").write_text(str(worker.pid))
pathlib.Path("half").rename("worker")
time.sleep(60)
"""


async def _started(program: str, folder: Path) -> TorchServeProcess:
    return await TorchServeProcess.start([sys.executable, "-c", program], os.environ, folder)


def test_a_line_that_is_too_long_does_not_stop_whoever_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.embedder.torchserve.process._STOP_S", 5.0)

    async def run() -> None:
        process = await _started(_LONG_LINE, tmp_path)
        try:
            await asyncio.to_thread(wait_until, (tmp_path / "written").exists, what="all of its output")
        finally:
            await process.stop()

    asyncio.run(run())


def test_workers_go_with_a_torchserve_that_has_to_be_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.embedder.torchserve.process._STOP_S", 0.2)

    async def run() -> None:
        process = await _started(_DEAF, tmp_path)
        await asyncio.to_thread(wait_until, (tmp_path / "worker").exists, what="its worker")
        await process.stop()

    asyncio.run(run())
    worker = int((tmp_path / "worker").read_text())

    def is_gone() -> bool:
        with suppress(ProcessLookupError, FileNotFoundError):
            return Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        return True

    wait_until(is_gone, what="the end of the worker", timeout_s=20)


class Hanging:
    """A TorchServe that never comes so far as to make its keys."""

    def __init__(self) -> None:
        self.stopped = 0

    async def keys(self) -> Keys:
        await asyncio.Event().wait()
        raise AssertionError

    async def wait(self) -> int:
        return 137

    async def stop(self) -> None:
        self.stopped += 1


def test_a_start_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.embedder.torchserve.supervisor._KEYS_S", 0.01)
    monkeypatch.setattr("services.embedder.torchserve.supervisor._FIRST_PAUSE_S", 0.001)
    started: list[Hanging] = []

    async def start() -> Hanging:
        started.append(Hanging())
        return started[-1]

    async def run() -> Exit:
        supervisor = Supervisor(
            start,  # type: ignore[arg-type]
            Upstream("http://127.0.0.1:1", connections=1),
            None,  # type: ignore[arg-type] # without keys nobody asks it
            "http://127.0.0.1:1",
            Recorder(TORCHSERVE),
            Budget(1, 1),
            poll_s=0.001,
            drain_s=0,
        )
        async with asyncio.timeout(30):
            return await supervisor.run()

    assert asyncio.run(run()) is Exit.GAVE_UP
    assert all(one.stopped for one in started)
    assert len(started) == 4


class Remembering:
    """TorchServe's management as far as the reconciler asks it."""

    def __init__(self) -> None:
        self.models: dict[str, Served] = {}

    def served(self) -> dict[str, Served]:
        return dict(self.models)

    def register(self, name: str, archive: str, *, workers: int, batching: object) -> None:
        self.models[name] = Served(workers, workers, workers)


def test_a_full_disk_fails_one_model_and_no_other(tmp_path: Path) -> None:
    class Full(ArchiveFolder):
        def put(self, name: str, manifest: object) -> object:  # type: ignore[override]
            raise OSError(28, "No space left on device", str(tmp_path / "secret place"))

    settings = load({"LOOKALIKE_STORAGE__FOLDER": f"{tmp_path}/store", "LOOKALIKE_STORAGE__CACHE": f"{tmp_path}/cache"})
    workspace = wire(settings)
    import_model(workspace, "house")
    reconciler = Reconciler(
        workspace.models,
        workspace.galleries,
        workspace.pointers,
        Full(tmp_path, workspace.models, workspace.artifacts),
        settings.torchserve,
        Recorder(TORCHSERVE),
        workers=1,
    )
    done = reconciler.round(Remembering())  # type: ignore[arg-type]
    (error,) = done.errors
    assert "No space left on device" in error
    assert "secret place" not in error
    assert not done.complete
    workspace.close()
