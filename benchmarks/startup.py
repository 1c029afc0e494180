"""How long it takes until something can be used.

* ``import lookalike`` in a fresh interpreter, with a bare ``pass`` beside it, in turns;
* the gateway over a gallery of 100,000 x 512 drawn embeddings (exact and FAISS indexes, no images, a remote
  embedder set): from the start of the process until ``/readyz`` answers 200, and until the first search by
  embedding has answered on both backends; and whether the process has loaded torch. ``warm`` starts find this
  machine's copies of records, embeddings and indexes; a ``cold`` one finds an empty cache folder.

Prints the medians as a table and JSON; the exit status is 1 where a target is missed.

    python -m benchmarks.startup [--num 100000] [--dim 512] [--repeats 5] [--folder FOLDER] [--out FILE]
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from benchmarks import synthetic_gallery
from benchmarks.machine import describe, table

MAX_IMPORT_S = 0.3
MAX_READY_S = 3.0
BACKENDS = ("exact", "faiss")
GIVE_UP_S = 120


def seconds_of(program: str) -> float:
    """Of a fresh interpreter that runs ``program``."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - started


def start_gateway(folder: Path, embedding: list[float]) -> dict[str, float | bool]:
    """Starts a gateway, asks it until it has answered everything, stops it; seconds since its start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")},
        **synthetic_gallery.environment(folder),
        "LOOKALIKE_GATEWAY__PORT": str(port),
        "LOOKALIKE_EMBEDDER__URL": "http://127.0.0.1:1",
    }
    found: dict[str, float | bool] = {}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "services.gateway"], env=environment, stdout=subprocess.DEVNULL, cwd=folder
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=GIVE_UP_S) as client:
            while not _is_ready(client):
                assert process.poll() is None, "the gateway ended"
                assert time.perf_counter() - started < GIVE_UP_S, "the gateway does not get ready"
                time.sleep(0.01)
            found["ready_s"] = time.perf_counter() - started
            for backend in BACKENDS:
                answer = client.post(
                    f"/v1/galleries/{synthetic_gallery.GALLERY}/search",
                    json={"embedding": embedding, "backend": backend, "k": 10},
                )
                assert answer.status_code == 200, answer.text
                assert len(answer.json()["hits"]) == 10
                found[f"first_{backend}_search_s"] = time.perf_counter() - started
        found["processor_s"] = _processor_s(process.pid)
        maps = Path(f"/proc/{process.pid}/maps")
        found["torch_loaded"] = maps.exists() and "libtorch" in maps.read_text()
    finally:
        process.terminate()
        process.wait()
    return found


def _processor_s(pid: int) -> float:
    """Processor time of a process so far: what its start costs whatever else the machine does. Linux only."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return float("nan")
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def measure_imports(repeats: int) -> dict[str, float]:
    programs = {"import_lookalike": "import lookalike", "nothing": "pass"}
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in programs.items():
            taken[name].append(seconds_of(program))
    return {f"{name}_s": round(statistics.median(times), 3) for name, times in taken.items()}


def measure_gateway(folder: Path, num: int, dim: int, repeats: int) -> dict[str, dict[str, float | bool]]:
    if not (folder / "store").exists():
        synthetic_gallery.make(folder, num, dim, BACKENDS)
    embedding = np.random.default_rng(1).standard_normal(dim).tolist()
    warm = [start_gateway(folder, embedding) for _ in range(repeats)]
    cold = []
    for _ in range(max(1, repeats // 3)):
        shutil.rmtree(folder / "cache")
        cold.append(start_gateway(folder, embedding))
    return {"warm": _medians(warm), "cold": _medians(cold)}


def _medians(runs: list[dict[str, float | bool]]) -> dict[str, float | bool]:
    medians: dict[str, float | bool] = {
        name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0] if name.endswith("_s")
    }
    return {**medians, "torch_loaded": any(run["torch_loaded"] for run in runs)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="keeps the gallery there, and uses one that is there already")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    imports = measure_imports(3 * given.repeats)
    with tempfile.TemporaryDirectory() as folder:
        gateway = measure_gateway(given.folder or Path(folder), given.num, given.dim, given.repeats)
    warm = gateway["warm"]
    first = max(float(warm[f"first_{backend}_search_s"]) for backend in BACKENDS)
    reached = imports["import_lookalike_s"] < MAX_IMPORT_S and first < MAX_READY_S and not warm["torch_loaded"]
    rows = [
        ("import lookalike, s", imports["import_lookalike_s"], f"< {MAX_IMPORT_S}"),
        ("python -c pass, s", imports["nothing_s"], ""),
        ("gateway ready (warm), s", warm["ready_s"], f"< {MAX_READY_S}"),
        *(
            (f"first {name} search answered (warm), s", warm[f"first_{name}_search_s"], f"< {MAX_READY_S}")
            for name in BACKENDS
        ),
        ("processor time until then (warm), s", warm["processor_s"], ""),
        ("gateway has loaded torch", warm["torch_loaded"], False),
        *((f"{name} (cold)", value, "") for name, value in gateway["cold"].items()),
    ]
    result = {
        "benchmark": "startup",
        "num_embeddings": given.num,
        "dimension": given.dim,
        "imports": imports,
        "gateway": gateway,
        "targets": {"import_lookalike_s": MAX_IMPORT_S, "ready_s": MAX_READY_S},
        "reached": reached,
        "machine": describe("numpy", "pydantic", "fastapi", "scikit-learn", "faiss-cpu"),
    }
    print(table(rows))
    print(json.dumps(result, indent=2))
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
