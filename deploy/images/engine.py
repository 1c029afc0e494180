"""The container engine that is here: docker or podman, or what the variable CONTAINER names."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_LOOK_TIMEOUT_S = 30


def engine() -> str:
    """The command of an engine that answers, docker before podman. Ends the process where there is none."""
    wanted = os.environ.get("CONTAINER")
    for name in [wanted] if wanted else ["docker", "podman"]:
        if shutil.which(name) is not None and _answers(name):
            return name
    sys.exit(f"no container engine answers: {wanted or 'docker, podman'}; CONTAINER=… names another")


def is_podman(name: str) -> bool:
    """Whether it is podman, also under the name of docker."""
    said = subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout
    return "podman" in said.lower()


def output(*command: str) -> str:
    """Standard output of a command. Raises CalledProcessError, with what it said, where it fails."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _answers(name: str) -> bool:
    try:
        ended = subprocess.run([name, "version"], capture_output=True, timeout=_LOOK_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0
