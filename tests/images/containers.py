"""Containers of one test: started as the strictest deployment would, found again, and gone at the end."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / part) for part in ("deploy/images", "tests")]

from engine import engine  # noqa: E402 found by the lines above

# No capability, no way to more of them, nothing to write on but /tmp and the volume.
CONFINED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", "/tmp:mode=1777,exec")
PATIENCE_S = 300.0
ENDED = (0, 143)  # of a process that ends by itself after SIGTERM: as if finished, or saying so


class ImageAtFault(Exception):
    """Something about an image is not as it must be."""


@dataclass
class Lab:
    """A network, a volume and the containers on them, with names of their own."""

    engine: str = field(default_factory=engine)
    name: str = field(default_factory=lambda: f"lookalike-images-{uuid.uuid4().hex[:8]}")
    started: list[str] = field(default_factory=list)

    def __enter__(self) -> "Lab":
        self.run("network", "create", self.name)
        self.run("volume", "create", self.name)
        return self

    def __exit__(self, *ended: object) -> None:
        for name in self.started:
            subprocess.run([self.engine, "rm", "--force", self._full(name)], capture_output=True, check=False)
        for kind in ("volume", "network"):
            subprocess.run([self.engine, kind, "rm", self.name], capture_output=True, check=False)

    def run(self, *arguments: str, timeout_s: float = PATIENCE_S) -> str:
        """Standard output of the engine. Raises ImageAtFault with what it said when it fails."""
        command = [self.engine, *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
        if ended.returncode != 0:
            raise ImageAtFault(f"{' '.join(command)[:400]}\n{ended.stdout[-1000:]}\n{ended.stderr[-3000:]}")
        return ended.stdout.strip()

    def start(
        self,
        name: str,
        image: str,
        *command: str,
        environment: Mapping[str, str] | None = None,
        mounts: Sequence[str] = (),
        options: Sequence[str] = (),
    ) -> None:
        """A container that others reach as ``name``, with the shared volume at /var/lib/lookalike."""
        words = ["run", "--detach", "--name", self._full(name), "--network", self.name, "--network-alias", name]
        words += [*CONFINED, "--volume", f"{self.name}:/var/lib/lookalike", *options]
        for key, value in (environment or {}).items():
            words += ["--env", f"{key}={value}"]
        for mount in mounts:
            words += ["--volume", mount]
        self.started.append(name)
        self.run(*words, image, *command)

    def once(self, image: str, *command: str, entrypoint: str = "sh", options: Sequence[str] = ()) -> str:
        """What a command in a new container of ``image`` says."""
        return self.run("run", "--rm", "--network", "none", "--entrypoint", entrypoint, *options, image, *command)

    def exec(self, name: str, *command: str) -> str:
        """What a command in a running container says. Raises ImageAtFault when it fails."""
        return self.run("exec", self._full(name), *command)

    def ran(self, name: str, *command: str) -> int:
        """The exit status of a command in a running container."""
        words = [self.engine, "exec", self._full(name), *command]
        return subprocess.run(words, capture_output=True, check=False, timeout=PATIENCE_S).returncode

    def signal(self, name: str, which: str) -> None:
        self.run("kill", "--signal", which, self._full(name))

    def stop(self, name: str, *, grace_s: int) -> float:
        """SIGTERM; how long it took. Raises ImageAtFault where it had to be killed or ended otherwise than told."""
        began = time.monotonic()
        self.run("stop", "--time", str(grace_s), self._full(name))
        took_s = time.monotonic() - began
        status = self.state(name)["ExitCode"]
        if status not in ENDED or took_s >= grace_s:
            raise ImageAtFault(f"{name}, told to stop: status {status} after {took_s:.1f} s\n{self.logs(name)}")
        return round(took_s, 1)

    def again(self, name: str) -> None:
        """Starts one that was stopped."""
        self.run("start", self._full(name))

    def remove(self, name: str) -> None:
        self.run("rm", "--force", self._full(name))
        self.started.remove(name)

    def state(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.run("inspect", self._full(name)))[0]["State"])

    def logs(self, name: str) -> str:
        """The end of what it said."""
        command = [self.engine, "logs", "--tail", "30", self._full(name)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        return f"== {name}\n{ended.stdout}{ended.stderr}"

    def address(self, name: str, port: int) -> tuple[str, int]:
        """Where this machine reaches a port that was published."""
        host, _, found = self.run("port", self._full(name), str(port)).splitlines()[0].rpartition(":")
        return host, int(found)

    def _full(self, name: str) -> str:
        return f"{self.name}-{name}"


def until(lab: Lab, name: str, *probe: str, timeout_s: float = PATIENCE_S) -> float:
    """Waits until a command in a container succeeds; how long that took. ImageAtFault when it never does."""
    began = time.monotonic()
    while lab.ran(name, *probe) != 0:
        if time.monotonic() - began > timeout_s or not lab.state(name)["Running"]:
            raise ImageAtFault(f"{name} never answered {probe}\n{lab.logs(name)}")
        time.sleep(0.5)
    return round(time.monotonic() - began, 1)
