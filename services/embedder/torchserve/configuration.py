"""What TorchServe is started with: its configuration, its command and its environment.

Everything of it listens on 127.0.0.1 alone. Its token authorisation is on; models are registered by name from its own
model store, into which only the supervisor writes, and no URL is allowed.
"""

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lookalike.embedding.remote_protocol import MAX_REQUEST_BYTES
from lookalike.errors import MissingExtra
from lookalike.settings import Settings

MODEL_STORE = "models"
KEY_FILE = "key_file.json"  # TorchServe writes it where it is started
_CONFIGURATION, _LOG, _TEMPORARY = "config.properties", "log4j2.xml", "tmp"
_KEY_MINUTES = 10 * 365 * 24 * 60  # as long as a process may live: each start makes new keys
_FORM_BYTES = 1 << 20  # what a form may add to the images in it


# Requests are large objects, for which G1, the default, takes twice the time. The second compiler gains nothing where
# bytes are copied, and takes a core from the models for the first minute.
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError")


@dataclass(frozen=True)
class Ports:
    """Of TorchServe itself, all on 127.0.0.1."""

    inference: int
    management: int
    metrics: int
    grpc_inference: int
    grpc_management: int

    @property
    def inference_url(self) -> str:
        return f"http://127.0.0.1:{self.inference}"

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self.management}"

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.metrics}/metrics"


def write_configuration(folder: Path, ports: Ports, settings: Settings) -> None:
    """Writes into ``folder`` all that TorchServe reads when it starts."""
    for name in (MODEL_STORE, _TEMPORARY):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / _CONFIGURATION).write_text("".join(f"{k}={v}\n" for k, v in _properties(folder, ports, settings).items()))
    (folder / _LOG).write_text(_LOG_CONFIGURATION)


def command(folder: Path, java: Path, settings: Settings) -> list[str]:
    """What starts it in the foreground, in ``folder``. Raises MissingExtra without TorchServe."""
    home = _torchserve_home()
    modern = ["--enable-native-access=ALL-UNNAMED"]  # Netty's transport; Java 17 and later know it
    return [
        *[sys.executable, "-m", "services.embedder.torchserve.child"],
        str(java),
        *modern,
        f"-Dmodel_server_home={home}",
        f"-Dlog4j.configurationFile=file://{folder / _LOG}",
        f"-Djava.io.tmpdir={folder / _TEMPORARY}",
        f"-Xmx{settings.torchserve.java_heap_mb}m",
        f"-Xmn{settings.torchserve.java_heap_mb * 2 // 5}m",  # nearly all of it are requests, which are soon gone
        *_JVM,
        *["-cp", f"{home}/ts/frontend/*", "org.pytorch.serve.ModelServer"],
        *["--python", sys.executable, "-f", str(folder / _CONFIGURATION), "-s", str(folder / MODEL_STORE), "-ncs"],
    ]


def environment(settings: Settings, *, threads: int, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """That of TorchServe and its workers: ours without our settings, but for those that a worker needs.

    ``threads`` are those of each worker.
    """
    said = os.environ if base is None else base
    kept = {name: value for name, value in said.items() if not name.startswith(("LOOKALIKE_", "TS_"))}
    options, images = settings.embedder, settings.images
    for_workers = {
        "EMBEDDER__PRECISION": options.precision,
        "EMBEDDER__THREADS": threads,
        "EMBEDDER__BATCH_SIZE": options.batch_size,
        "IMAGES__MAX_BYTES": images.max_bytes,
        "IMAGES__MAX_PIXELS": images.max_pixels,
    }
    return kept | {f"LOOKALIKE_{name}": str(value) for name, value in for_workers.items() if value is not None}


def _properties(folder: Path, ports: Ports, settings: Settings) -> dict[str, object]:
    """https://github.com/pytorch/serve/blob/v0.12.0/docs/configuration.md"""
    return {
        "inference_address": ports.inference_url,
        "management_address": ports.management_url,
        "metrics_address": f"http://127.0.0.1:{ports.metrics}",
        "grpc_inference_address": "127.0.0.1",
        "grpc_management_address": "127.0.0.1",
        "grpc_inference_port": ports.grpc_inference,
        "grpc_management_port": ports.grpc_management,
        "disable_token_authorization": "false",
        "token_expiration_min": _KEY_MINUTES,
        "enable_model_api": "true",
        "allowed_urls": "^$",
        "use_env_allowed_urls": "false",
        "enable_envvars_config": "false",
        "install_py_dep_per_model": "false",
        "model_store": folder / MODEL_STORE,
        "job_queue_size": settings.torchserve.queue_requests,
        "max_request_size": MAX_REQUEST_BYTES + _FORM_BYTES,
        "max_response_size": MAX_REQUEST_BYTES,
        "metrics_mode": "prometheus",
        "disable_system_metrics": "true",
    }


def _torchserve_home() -> Path:
    found = importlib.util.find_spec("ts")
    jar = None if found is None or found.origin is None else Path(found.origin).parent / "frontend" / "model-server.jar"
    if jar is None or not jar.is_file():
        raise MissingExtra("TorchServe", "torchserve")
    return jar.parents[2]


# Warnings to where the supervisor's log goes, and nothing into files: a line for each request costs a tenth of it.
_LOG_CONFIGURATION = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="error">
  <Appenders>
    <Console name="out" target="SYSTEM_OUT"><PatternLayout pattern="TorchServe: %p %c{1} %m%n"/></Console>
  </Appenders>
  <Loggers>
    <Logger name="org.pytorch.serve.archive.model.ModelArchive" level="error"/>
    <Root level="warn"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
"""
