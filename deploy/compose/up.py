"""Makes the secrets that are missing, brings the system up and says how to use it: ``make compose-up``.

Variables: COMPOSE, the command; PROFILES, what else to start: monitoring, gpu; PUBLISH and SECRETS as in .env.example.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from secret_files import make
from surroundings import REPOSITORY, SECRETS, compose

WAIT_S = 900.0  # images may have to be built or pulled before, which is not counted
LOOK_EVERY_S = 2.0


def up(command: list[str], profiles: list[str]) -> None:
    """Starts what is not up yet and changes what is up to what the files say. Raises CalledProcessError."""
    environment = {**os.environ, "COMPOSE_PROFILES": ",".join(profiles), "SECRETS": str(SECRETS)}
    arguments = ["up", "--detach", *(["--scale", "torchserve=0"] if "gpu" in profiles else [])]
    subprocess.run([*command, *arguments], cwd=REPOSITORY, check=True, env=environment)


def wait(url: str, *, timeout_s: float) -> dict[str, object]:
    """What /readyz says once it is ready, or degraded; each other thing that it says before is printed.

    Ends the process when that takes too long.
    """
    until, former = time.monotonic() + timeout_s, ""
    while time.monotonic() < until:
        said = readiness(url)
        if said.get("status") in ("ready", "degraded"):
            return said
        text = str(said.get("store", said.get("status")))
        if text != former:
            print(f"waiting for the gateway: {text}", flush=True)
            former = text
        time.sleep(LOOK_EVERY_S)
    sys.exit(f"{url} was not ready within {timeout_s:.0f} s: docker compose logs")


def readiness(url: str) -> dict[str, object]:
    """The document of /readyz, whatever its status; why there is none under ``status``."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return dict(json.loads(answer.read()))
    except urllib.error.HTTPError as error:
        with error:
            return dict(json.loads(error.read()))
    except (OSError, ValueError) as error:
        return {"status": type(error).__name__}


def published() -> str:
    """Where this machine reaches the gateway."""
    host, _, port = (os.environ.get("PUBLISH") or _dotenv().get("PUBLISH") or "127.0.0.1:8000").rpartition(":")
    return f"http://{host if host not in ('', '0.0.0.0') else '127.0.0.1'}:{port}"  # noqa: S104 it is not bound here


def _dotenv() -> dict[str, str]:
    file = REPOSITORY / ".env"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def _path(file: Path) -> str:
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)


def main() -> None:
    """The command."""
    made = make(SECRETS)
    print(f"{_path(SECRETS)}: {', '.join(made) + ' made' if made else 'all secrets were there'}", flush=True)
    try:
        up(compose(), [name for name in os.environ.get("PROFILES", "").split(",") if name])
    except subprocess.CalledProcessError as error:
        sys.exit(f"compose up ended with {error.returncode}")
    url = published()
    said = wait(url, timeout_s=WAIT_S)
    key = _path(SECRETS / "bootstrap_key")
    print(f"""
{said["status"]}: {url}
The page asks for a key: the admin's is in {key}; one for each user:
  docker compose run --rm cli keys create --help
  curl -H "Authorization: Bearer $(cat {key})" {url}/v1/galleries
Your own images, ingested, embedded, indexed and searched:
  make compose-try IMAGES=~/Pictures""")


if __name__ == "__main__":
    main()
