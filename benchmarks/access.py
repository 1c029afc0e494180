"""What keys and rate limits add to a search over HTTP.

    python -m benchmarks.access --num 100000 --dim 512 --queries 500 --rounds 5 --output access.json

One process serves the same drawn gallery on three ports: without keys, with keys and a limit in the process, and with
a limit that is shared over a real Redis. One process, because two that do the same differ by more than what is measured
here. One client with a kept connection to each asks them the same search in turns, in an order that changes each time.
What is added is the median of the differences of each search by itself, so that most of what else the machine does in
between falls out; the figure is the median over the rounds, each with a process of its own, of 1 and that over the
median without keys. The exit status is 1 when one is more than 1.05.
"""

import argparse
import http.client
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import synthetic_gallery
from benchmarks.machine import describe, table
from lookalike.bootstrap import wire_jobs
from lookalike.settings import load
from services.gateway.app import create_app
from services.gateway.doors import make_access, web_rules
from services.gateway.server import listen, make_server
from tests.real_servers import RedisServer

MAX_RATIO = 1.05
KEY = "a-key-for-the-benchmark-0123456789abcdef"
WARM_UP = 100
HOST = "127.0.0.1"
WITHOUT = "without keys"
OFF = {"LOOKALIKE_ACCESS__KEYS": "off"}
ON = {
    "LOOKALIKE_ACCESS__KEYS": "on",
    "LOOKALIKE_ACCESS__BOOTSTRAP_KEY": KEY,
    "LOOKALIKE_ACCESS__REQUESTS_PER_MINUTE": "1000000",
}


class Client:
    """One client with one kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=60)

    def search_ms(self, body: bytes) -> float:
        """How long one search took, until its answer was read."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        started = time.perf_counter()
        path = f"/v1/galleries/{synthetic_gallery.GALLERY}/search"
        self._connection.request("POST", path, body=body, headers=headers)
        response = self._connection.getresponse()
        answer = response.read()
        took_ms = (time.perf_counter() - started) * 1000
        if response.status != 200:
            raise RuntimeError(answer.decode())
        return took_ms


def serve(folder: Path, redis_url: str) -> None:
    """Serves on three ports, prints them by name, and goes on until it is killed."""
    at = synthetic_gallery.workspace(folder)
    ports = {}
    kinds = {WITHOUT: OFF, "keys and limit": ON, "shared over Redis": {**ON, "LOOKALIKE_QUEUE__URL": redis_url}}
    threads = []
    for name, more in kinds.items():
        settings = load({**synthetic_gallery.environment(folder), **more}, folder / "none.toml")
        local = settings.model_copy(update={"queue": type(settings.queue)()})  # jobs are no matter here
        access = make_access(settings, at, HOST)
        rules = web_rules(settings, HOST, keys_on=access is not None)
        app = create_app(at, wire_jobs(local, at), access=access, web=rules)
        listening, ready = listen(HOST, 0), threading.Event()
        server = make_server(app, ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        threads.append(thread)
        if not ready.wait(60):
            raise RuntimeError("the gateway did not become ready")
        ports[name] = listening.getsockname()[1]
    print(json.dumps(ports), flush=True)
    for thread in threads:
        thread.join()


def one_round(folder: Path, bodies: Sequence[bytes], seed: int) -> dict[str, float]:
    """The median in ms without keys, and with what each of the others adds to it."""
    with tempfile.TemporaryDirectory() as name:
        redis = RedisServer(Path(name))
        redis.start()
        command = [sys.executable, "-m", "benchmarks.access", "--serve", str(folder), redis.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                ports: dict[str, int] = json.loads(process.stdout.readline())
                took_ms = in_turns({name: Client(port) for name, port in ports.items()}, bodies, seed)
            finally:
                process.kill()
                redis.kill()
    found = {WITHOUT: statistics.median(took_ms[WITHOUT])}
    for name, values in took_ms.items():
        if name != WITHOUT:
            found[name] = found[WITHOUT] + statistics.median(
                mine - others for mine, others in zip(values, took_ms[WITHOUT], strict=True)
            )
    return found


def in_turns(clients: Mapping[str, Client], bodies: Sequence[bytes], seed: int) -> dict[str, list[float]]:
    """Times in ms of each search at each port."""
    rng = random.Random(seed)
    took_ms: dict[str, list[float]] = {name: [] for name in clients}
    for body in bodies[:WARM_UP]:
        for client in clients.values():
            client.search_ms(body)
    order = list(clients)
    for body in bodies:
        rng.shuffle(order)
        for name in order:
            took_ms[name].append(clients[name].search_ms(body))
    return took_ms


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=500, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backend", default="faiss")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(Path(given.serve[0]), given.serve[1])
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthetic_gallery.make(folder, given.num, given.dim, [given.backend])
        queries_QD = next(synthetic_gallery.draw(given.queries, given.dim, seed=1))
        bodies = [json.dumps({"embedding": row.tolist(), "backend": given.backend}).encode() for row in queries_QD]
        rounds_ms = [one_round(folder, bodies, seed) for seed in range(given.rounds)]
    ratios = {
        name: [medians[name] / medians[WITHOUT] for medians in rounds_ms] for name in rounds_ms[0] if name != WITHOUT
    }
    middles = {name: statistics.median(values) for name, values in ratios.items()}
    rows = [
        (
            f"{name} / {WITHOUT}",
            f"{middles[name]:.3f} ({min(values):.3f} to {max(values):.3f})",
            f"at most {MAX_RATIO}",
        )
        for name, values in ratios.items()
    ]
    print(table(rows))
    reached = all(ratio <= MAX_RATIO for ratio in middles.values())
    if given.output:
        report = {
            "benchmark": "access",
            "num": given.num,
            "dim": given.dim,
            "queries": given.queries,
            "backend": given.backend,
            "rounds_ms": rounds_ms,
            "ratios": ratios,
            "medians": middles,
            "reached": reached,
            "machine": describe("faiss-cpu", "fastapi", "uvicorn", "redis"),
        }
        given.output.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
