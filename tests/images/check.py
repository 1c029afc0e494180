"""Examines each image, starts it as the strictest deployment would, and stops it at work: ``make images-test``.

    python tests/images/check.py [NAME …] [--json FILE]

The images must have been built. A line for each step, a summary as JSON, and status 1 with what is wrong.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from containers import REPOSITORY, ImageAtFault, Lab  # isort: skip  it finds the next
import at_work
from catalog import IMAGES, Image
from contents import Contents, described, examine

SERVERS = "lookalike/test-servers"


def check_contents(lab: Lab, image: Image, base: str, seen: set[str]) -> dict[str, Any]:
    """What is in it; sizes in MB (10^6 bytes). ``seen`` are the layers that a machine has already; its are added."""
    found: Contents = examine(lab, image, base)
    say = {"size_mb": round(found.size_bytes / 1e6), "added_mb": round(found.added_bytes / 1e6)}
    if found.exempt:
        print(f"  the base image itself has a compiler: {', '.join(found.exempt)}", flush=True)
    new = sum(size for layer, size in found.layers.items() if layer not in seen)
    seen.update(found.layers)
    return {**say, "new_mb": round(new / 1e6)}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(image.name for image in IMAGES))
    parser.add_argument("--json", type=Path, help="file for the summary")
    said = parser.parse_args()
    chosen = [image for image in IMAGES if not said.names or image.name in said.names]
    base = os.environ.get("PYTHON_IMAGE") or "python:3.11-slim-bookworm"
    results: dict[str, dict[str, Any]] = {image.name: {} for image in chosen}
    problems: list[str] = []
    seen: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="lookalike-images-") as folder, Lab() as lab:
        seen.update(described(lab, base)["RootFS"]["Layers"])
        for image in chosen:
            print(f"{image.name}: what is in it …", flush=True)
            try:
                results[image.name] |= check_contents(lab, image, base, seen)
            except ImageAtFault as error:
                problems.append(str(error))
                print(f"  {error}", file=sys.stderr, flush=True)
        for name, measure in at_work.checks(lab, {image.name for image in chosen}, Path(folder), _servers(lab)):
            print(f"{name}: at work …", flush=True)
            began = time.monotonic()
            try:
                found = measure()
            except (ImageAtFault, OSError, subprocess.TimeoutExpired) as error:
                problems.append(f"{name}: {error}")
                print(f"  {error}", file=sys.stderr, flush=True)
                break  # those after it need it
            results[name] |= found
            print(f"  {time.monotonic() - began:.0f} s {json.dumps(found)}", flush=True)
    summary = {"ok": not problems, "engine": lab.engine, "base": base, "images": results, "problems": problems}
    text = json.dumps(summary, indent=2)
    if said.json is not None:
        said.json.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0 if not problems else 1


def _servers(lab: Lab) -> str:
    """The image with Redis in it, built where it is missing."""
    if subprocess.run([lab.engine, "image", "inspect", SERVERS], capture_output=True, check=False).returncode != 0:
        more = os.environ.get("BUILD_ARGS", "").split()
        command = ["build", "--file", "tests/images/servers.Dockerfile", "--tag", SERVERS, *more, str(REPOSITORY)]
        lab.run(*command, timeout_s=1800)
    return SERVERS


if __name__ == "__main__":
    sys.exit(main())
