"""How long a re-embedding takes that finds nothing to do: an unchanged gallery under an unchanged model.

A gallery of drawn embeddings is live on all four backends. Then it is re-embedded again and again, each time through
ports that are wired anew, as a command does; process start and imports are left out. The model has no archive: an
image that were embedded would be an error. Prints the times as JSON; the aim is at most 2 seconds for 10,000 images,
and the exit status is 1 above it.

    python -m benchmarks.reembed_unchanged [--images 10000] [--dimension 512] [--repeats 5] [--out FILE]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.synthetic_gallery import GALLERY, MODEL, make, workspace
from lookalike.pipeline.backends import installed
from lookalike.pipeline.promote import Checks
from lookalike.pipeline.reembed import reembed, wanted_indexes

AIM_S = 2.0


def run(folder: Path) -> float:
    """Seconds of one re-embedding."""
    at = workspace(folder)
    try:
        started = time.perf_counter()
        names, _ = installed(at.backend, at.backend_names)
        made = reembed(at, GALLERY, MODEL, wanted_indexes(at, names, {}), checks=Checks(at.min_parity, at.gate))
        took_s = time.perf_counter() - started
    finally:
        at.close()
    assert (made.embedded, made.built, made.promoted) == (0, (), False), made
    return took_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        at = workspace(Path(folder))
        names, _ = installed(at.backend, at.backend_names)
        at.close()
        make(Path(folder), arguments.images, arguments.dimension, names)
        runs = [run(Path(folder)) for _ in range(arguments.repeats)]
    median_s = statistics.median(runs)
    result = {
        "images": arguments.images,
        "dimension": arguments.dimension,
        "backends": names,
        "runs_s": [round(took_s, 3) for took_s in runs],
        "median_s": round(median_s, 3),
        "aim_s": AIM_S,
        "embedded": 0,
        "machine": describe(),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    sys.exit(median_s > AIM_S)


if __name__ == "__main__":
    main()
