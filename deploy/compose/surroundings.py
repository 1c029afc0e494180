"""Where things are on this machine, and the commands that are here."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SECRETS = Path(os.environ.get("SECRETS") or REPOSITORY / ".secrets").absolute()


def compose() -> list[str]:
    """The command of Compose: what the variable COMPOSE says, else Docker's, else podman-compose.

    Ends the process where there is none.
    """
    if os.environ.get("COMPOSE"):
        return shlex.split(os.environ["COMPOSE"])
    if shutil.which("docker") is not None:
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ["docker", "compose"]
    if shutil.which("podman-compose") is not None:
        return ["podman-compose"]
    sys.exit("neither docker compose nor podman-compose is here; COMPOSE=… names another command")
