"""The system of docker-compose.yml, brought up for a test under a name and with secrets of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(REPOSITORY / "deploy" / "images"),
    str(REPOSITORY / "deploy" / "compose"),
    str(REPOSITORY / "tests"),
]

from engine import engine, is_podman  # noqa: E402 found by the lines above
from real_servers import free_port  # noqa: E402
from secret_files import make  # noqa: E402
from surroundings import compose  # noqa: E402

OURS = ("gateway", "embedder", "indexer", "torchserve")
PROJECT = "lookalike-test"
PATIENCE_S = 420.0


@dataclass
class Stack:
    """``files`` are the Compose files, the later over the earlier; ``folder`` is for secrets and pictures."""

    folder: Path
    files: Sequence[str]
    port: int = field(default_factory=free_port)
    more: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        make(self.folder / "secrets")
        self.engine = engine()
        key = (self.folder / "secrets" / "bootstrap_key").read_text()
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {key}"}, timeout=60
        )

    @property
    def environment(self) -> dict[str, str]:
        """That of every call of Compose: nothing of whoever runs the test."""
        usual = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
        return {
            **usual,
            "SECRETS": str(self.folder / "secrets"),
            "IMAGES": str(self.folder / "pictures"),
            "PUBLISH": f"127.0.0.1:{self.port}",
            **self.more,
        }

    def compose(self, *arguments: str, profiles: str = "") -> str:
        """Standard output of one call. Raises AssertionError with what it said when it fails."""
        files = [word for file in self.files for word in ("-f", file)]
        command = [*compose(), "-p", PROJECT, *files, *arguments]
        environment = {**self.environment, "COMPOSE_PROFILES": profiles}
        ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{command}\n{ended.stdout[-4000:]}\n{ended.stderr[-6000:]}"
        return ended.stdout

    def containers(self, service: str = "", *, running: bool = False) -> list[str]:
        """Their ids, of one service or of all."""
        labels = [f"label=com.docker.compose.project={PROJECT}"]
        labels += [f"label=com.docker.compose.service={service}"] if service else []
        filters = [word for label in labels for word in ("--filter", label)]
        return self.run("ps", "-q", *([] if running else ["--all"]), *filters).split()

    def container(self, service: str) -> str:
        """The only one of a service."""
        (found,) = self.containers(service)
        return found

    def run(self, *arguments: str) -> str:
        """Standard output of the engine. Raises AssertionError with what it said when it fails."""
        ended = subprocess.run([self.engine, *arguments], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{self.engine} {' '.join(arguments)}: {ended.stderr[-3000:]}"
        return ended.stdout.strip()

    def kill(self, service: str) -> None:
        """SIGKILL."""
        self.run("kill", "--signal", "KILL", self.container(service))

    def start(self, service: str) -> None:
        """Starts again what was killed."""
        self.run("start", self.container(service))

    def state(self, service: str) -> dict[str, Any]:
        """``Running``, ``ExitCode`` and so on, as the engine has it."""
        return dict(json.loads(self.run("inspect", self.container(service)))[0]["State"])

    def logs(self, *names: str, lines: int = 8) -> str:
        """The end of what these services said."""
        said = []
        for name in names:
            for container in self.containers(name):
                command = [self.engine, "logs", "--tail", str(lines), container]
                ended = subprocess.run(command, capture_output=True, text=True, check=False)
                said.append(f"== {name}\n{ended.stdout}{ended.stderr}")
        return "\n".join(said)

    def left(self) -> list[str]:
        """What there still is of it: containers, volumes, networks."""
        of_it = ["--filter", f"label=com.docker.compose.project={PROJECT}", "-q"]
        found = self.containers()
        for kind in ("volume", "network"):
            found += self.run(kind, "ls", *of_it).split()
        return found

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = self.http.get(path, params=parameters)
        assert answer.status_code == httpx.codes.OK, f"{path}: {answer.status_code} {answer.text[:1000]}"
        return answer.json()

    def post(self, path: str, document: object, *, status: int = 200) -> Any:
        """The JSON of a POST that must answer ``status``."""
        answer = self.http.post(path, json=document)
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text[:1000]}"
        return answer.json()

    def job(self, kind: str, gallery: str, **params: object) -> str:
        """Submits a job and returns its id."""
        return str(self.post("/v1/jobs", {"kind": kind, "gallery": gallery, "params": params}, status=202)["job_id"])

    def succeeded(self, job_id: str) -> dict[str, Any]:
        """The job when it has ended, which must have been well."""

        def ended() -> dict[str, Any] | None:
            try:
                job = self.get(f"/v1/jobs/{job_id}")
            except (httpx.HTTPError, AssertionError):
                return None
            return job if job["state"] in ("succeeded", "failed", "cancelled") else None

        job = until(ended, f"the end of job {job_id}")
        assert job["state"] == "succeeded", f"{job}\n{self.logs(*OURS)}"
        return job


def until(look: Any, what: str, *, timeout_s: float = PATIENCE_S, every_s: float = 0.5) -> Any:
    """The first thing that ``look`` returns that is true; TimeoutError names what never was."""
    end = time.monotonic() + timeout_s
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(every_s)
    return found


@contextmanager
def stack(folder: Path, *, stand_ins: bool) -> Iterator[Stack]:
    """Not yet up; taken down at the end with all that it kept.

    ``stand_ins`` puts others in the place of the servers whose images cannot be had.
    """
    files = ["docker-compose.yml", *(["deploy/compose/test.yml"] if stand_ins else [])]
    # Swift's keys have an account in them.
    made = Stack(folder, files, more={"LOOKALIKE_STORAGE__S3_ACCESS_KEY": "lookalike:tests"} if stand_ins else {})
    try:
        yield made
    finally:
        made.compose("down", "--volumes", profiles="commands")
        if made.left():  # podman-compose may go on before a container has ended
            made.compose("down", "--volumes", profiles="commands")
        made.http.close()


__all__ = ["OURS", "PROJECT", "Stack", "is_podman", "stack", "until"]
