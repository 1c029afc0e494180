"""Asks for jobs of maintenance: ``python ask.py compact|collect``. Indexers do them.

compact: for each gallery with pending changes, under each model that is live in it. collect: for each gallery. A
gallery's jobs wait for each other, so that asking is safe while anything else goes on.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any


def answer(*words: str) -> Any:
    """What a command of Lookalike answers; raises CalledProcessError when it fails."""
    command = ["lookalike", *words, "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def wanted(kind: str, gallery: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The parameters of each job that the gallery needs."""
    if kind == "collect":
        yield {}
        return
    for model in gallery["live"]:
        if gallery["pending_adds"][model] or gallery["pending_deletes"][model]:
            yield {"model": model}


def main(kind: str) -> int:
    failed = 0
    for gallery in answer("gallery", "list"):
        for params in wanted(kind, gallery):
            try:
                answer("jobs", "submit", kind, gallery["name"], "--params", json.dumps(params))
            except subprocess.CalledProcessError:
                failed += 1  # its line is in the log; the other galleries are not to wait for it
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:] not in (["compact"], ["collect"]):
        sys.exit(f"{__doc__}")
    sys.exit(main(sys.argv[1]))
