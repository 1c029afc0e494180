"""Runs Compose as it was brought up: ``run.py try [IMAGE]`` or ``run.py down [--volumes]``."""

import os
import subprocess
import sys

from surroundings import REPOSITORY, SECRETS, compose

# All of them: what a profile started is also what ends.
PROFILES = "monitoring,gpu,train,train-gpu,commands"


def main() -> int:
    """The command's exit status is that of Compose."""
    what, rest = sys.argv[1], sys.argv[2:]
    environment = {**os.environ, "SECRETS": str(SECRETS)}
    if what == "try":
        environment["COMPOSE_PROFILES"] = "commands"
        gallery = ["--env", f"GALLERY={os.environ['GALLERY']}"] if os.environ.get("GALLERY") else []
        arguments = ["run", "--rm", *gallery, "try", *rest]
    else:
        environment["COMPOSE_PROFILES"] = PROFILES
        arguments = ["down", *rest]
    return subprocess.run([*compose(), *arguments], cwd=REPOSITORY, check=False, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
