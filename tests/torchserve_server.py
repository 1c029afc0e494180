"""The real TorchServe under our supervisor, as a process that tests start, look into and kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from real_servers import free_port, wait_until

from lookalike.catalog.models import Models
from lookalike.embedding.archive import write_archive
from lookalike.embedding.batching import Batching
from lookalike.storage.local import LocalStore
from lookalike.types.models import ModelManifest

TOKEN = "a token of the tests"  # noqa: S105
START_TIMEOUT_S = 120.0


@dataclass
class TorchServeServer:
    """``folder`` has the store; ``settings`` are further ones, such as ``TORCHSERVE__POLL_S``."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    management_port: int = field(default_factory=free_port)
    # Short, since there are Unix sockets in it.
    cache: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ts-")))
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "torchserve.log").read_text(errors="replace")

    def register(
        self, baseline: str, name: str | None = None, batching: Batching | None = None, **other: object
    ) -> ModelManifest:
        """Puts a model of ours into the store, under its own name or another; ``other`` is changed in its manifest."""
        from lookalike.embedding.baselines import build_baseline  # torch: not for every test session

        program, manifest = build_baseline(baseline)
        archive = self.cache / f"{uuid.uuid4().hex}.mar"
        complete = write_archive(
            archive, program, manifest.model_copy(update={"name": name or manifest.name, **other}), batching
        )
        registered = Models(LocalStore(self.folder / "store")).add(archive, complete)
        archive.unlink()
        return registered

    def start(self, *, wait: bool = True) -> None:
        """Returns once its models answer."""
        self.folder.mkdir(parents=True, exist_ok=True)
        usual = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
        ours = {
            "STORAGE__FOLDER": str(self.folder / "store"),
            "STORAGE__CACHE": str(self.cache),
            "EMBEDDER__TOKEN": TOKEN,
            "TORCHSERVE__HOST": self.host,
            "TORCHSERVE__PORT": str(self.port),
            "TORCHSERVE__METRICS_PORT": str(self.metrics_port),
            "TORCHSERVE__MANAGEMENT_PORT": str(self.management_port),
            "TORCHSERVE__POLL_S": "1",
            "TELEMETRY__LOG_LEVEL": "info",
            **self.settings,
        }
        environment = {**usual, **{f"LOOKALIKE_{name}": value for name, value in ours.items()}}
        with (self.folder / "torchserve.log").open("ab") as sink:
            command = [sys.executable, "-m", "services.embedder.torchserve"]
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=sink, stderr=sink)
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        wait_until(self.is_ready, what="TorchServe is ready", timeout_s=START_TIMEOUT_S)

    def is_ready(self) -> bool:
        """RuntimeError where it has ended."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"it ended with {self.process.returncode}: {self.log[-3000:]}")
        try:
            return httpx.get(f"{self.url}/ping", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def managed(self, path: str) -> Any:
        """What TorchServe's own management API answers to its key."""
        (file,) = self.cache.glob("torchserve/run-*/key_file.json")
        key = json.loads(file.read_text())["management"]["key"]
        url = f"http://127.0.0.1:{self.management_port}{path}"
        return httpx.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=30).json()

    def java(self) -> psutil.Process:
        """TorchServe itself."""
        return next(one for one in self._below() if "org.pytorch.serve.ModelServer" in one.cmdline())

    def workers(self) -> list[psutil.Process]:
        """The processes that have the models."""
        return [one for one in self._below() if any("model_service_worker" in part for part in one.cmdline())]

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_TIMEOUT_S)

    def close(self) -> None:
        """Ends it, however it is, and removes what it wrote."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(START_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.cache, ignore_errors=True)

    def _below(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)
