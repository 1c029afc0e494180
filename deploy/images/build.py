"""Builds the images, all or those named: ``build.py [NAME …]``; ``make images`` calls it. Needs Python alone.

Variables: CONTAINER, the engine; PYTHON_IMAGE, the base; TORCH_INDEX, where torch comes from, and SUFFIX, what is
added to the tag then; WHEELS, a folder of wheels that are taken first; PIP_CONF, a pip.conf for the build only;
BUILD_ARGS, more arguments of the engine's build.
"""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from catalog import Image, named, version
from engine import REPOSITORY, engine, is_podman


def build(name: str, image: Image) -> None:
    """Builds one image. Raises CalledProcessError where that fails."""
    given = os.environ
    arguments = ["--build-arg", f"VERSION={version()}", "--build-arg", f"REVISION={revision()}"]
    for argument in ("PYTHON_IMAGE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        if given.get(argument):
            arguments += ["--build-arg", f"{argument}={given[argument]}"]
    if image.has_torch and "TORCH_INDEX" in given:  # empty means: the usual index alone
        arguments += ["--build-arg", f"TORCH_INDEX={given['TORCH_INDEX']}"]
    if given.get("WHEELS"):
        arguments += ["--build-context", f"wheels={Path(given['WHEELS']).resolve()}"]
    if given.get("PIP_CONF"):
        arguments += ["--secret", f"id=pip,src={Path(given['PIP_CONF']).resolve()}"]
    if is_podman(name):
        arguments += ["--format", "docker"]  # the OCI's format has no health checks
    arguments += shlex.split(given.get("BUILD_ARGS", ""))
    tag = image.tag(given.get("SUFFIX", "") if image.has_torch else "")
    command = [name, "build", "--file", image.dockerfile, "--tag", tag, *arguments, "."]
    subprocess.run(command, cwd=REPOSITORY, check=True, env={**given, "DOCKER_BUILDKIT": "1"})


def revision() -> str:
    """The commit of the checkout; ``unknown`` outside one."""
    asked = ["git", "rev-parse", "--short=12", "HEAD"]
    try:
        ended = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return ended.stdout.strip() or "unknown"


if __name__ == "__main__":
    found = engine()
    for one in named(sys.argv[1:]):
        began = time.monotonic()
        try:
            build(found, one)
        except subprocess.CalledProcessError as error:
            sys.exit(f"{one.name} was not built: {found} build ended with {error.returncode}")
        print(f"{one.tag()} built in {time.monotonic() - began:.0f} s", flush=True)
