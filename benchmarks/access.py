"""What keys and rate limits add to a search over HTTP.

    python -m benchmarks.access --num 100000 --dim 512 --queries 500 --rounds 5 --output access.json

Four real gateway processes serve the same drawn gallery: with keys and a limit of the process, with keys and a limit
that is shared over a real Redis, and one like each of them whose keys are off. One client with a kept connection to
each asks them the same search in turns, in an order that changes each time. Two processes that do the same differ by
some percent for as long as they live, so there are several rounds, each with processes of its own; figures are medians
over the rounds of the ratio of medians. The exit status is 1 when one is more than 1.05.
"""

import argparse
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import synthetic_gallery
from benchmarks.machine import describe, table
from benchmarks.search_http import free_port
from tests.real_servers import RedisServer

MAX_RATIO = 1.05
KEY = "a-key-for-the-benchmark-0123456789abcdef"
WARM_UP = 100
LIKE = {"keys and limit": "without keys", "limit shared over Redis": "without keys, with Redis"}
ON = {
    "LOOKALIKE_ACCESS__KEYS": "on",
    "LOOKALIKE_ACCESS__BOOTSTRAP_KEY": KEY,
    "LOOKALIKE_ACCESS__REQUESTS_PER_MINUTE": "1000000",
}


class Client:
    """One client with one kept connection."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Content-Type": "application/json", **headers}

    def search_ms(self, body: bytes) -> float:
        """How long one search took, until its answer was read."""
        started = time.perf_counter()
        path = f"/v1/galleries/{synthetic_gallery.GALLERY}/search"
        self._connection.request("POST", path, body=body, headers=self._headers)
        response = self._connection.getresponse()
        answer = response.read()
        took_ms = (time.perf_counter() - started) * 1000
        if response.status != 200:
            raise RuntimeError(answer.decode())
        return took_ms

    def is_ready(self) -> bool:
        try:
            self._connection.request("GET", "/readyz")
            response = self._connection.getresponse()
            said = json.loads(response.read())
        except OSError:
            return False
        finally:
            self._connection.close()  # the next is opened anew: this one would be idle for too long
        return response.status == 200 and not said["opening"]


@contextmanager
def gateway(folder: Path, **more: str) -> Iterator[Client]:
    """A client of a gateway of its own process, once everything is open."""
    port = free_port()
    environment = {**os.environ, **synthetic_gallery.environment(folder), "LOOKALIKE_GATEWAY__PORT": str(port), **more}
    with subprocess.Popen([sys.executable, "-m", "services.gateway"], env=environment) as process:
        try:
            client = Client(port, {"Authorization": f"Bearer {KEY}"})
            deadline = time.monotonic() + 60
            while not client.is_ready():
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError("the gateway did not become ready")
                time.sleep(0.05)
            yield client
        finally:
            process.terminate()


def in_turns(clients: Mapping[str, Client], bodies: Sequence[bytes], seed: int = 0) -> dict[str, list[float]]:
    """Times in ms of each search at each gateway."""
    rng = random.Random(seed)
    took: dict[str, list[float]] = {name: [] for name in clients}
    for body in bodies[:WARM_UP]:
        for client in clients.values():
            client.search_ms(body)
    order = list(clients)
    for body in bodies:
        rng.shuffle(order)
        for name in order:
            took[name].append(clients[name].search_ms(body))
    return took


def one_round(folder: Path, bodies: Sequence[bytes], seed: int) -> dict[str, float]:
    """Medians in ms of each gateway, in processes of their own, started in another order each time."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        redis = RedisServer(Path(name))
        redis.start()
        stack.callback(redis.kill)
        queue = {"LOOKALIKE_QUEUE__URL": redis.url}
        settings: list[tuple[str, dict[str, str]]] = [
            ("without keys", {}),
            ("keys and limit", ON),
            ("without keys, with Redis", queue),
            ("limit shared over Redis", {**ON, **queue}),
        ]
        random.Random(seed).shuffle(settings)
        clients = {name: stack.enter_context(gateway(folder, **more)) for name, more in settings}
        took = in_turns(clients, bodies, seed)
    return {name: statistics.median(values) for name, values in took.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=500, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backend", default="faiss")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthetic_gallery.make(folder, given.num, given.dim, [given.backend])
        queries_QD = next(synthetic_gallery.draw(given.queries, given.dim, seed=1))
        bodies = [json.dumps({"embedding": row.tolist(), "backend": given.backend}).encode() for row in queries_QD]
        rounds_ms = [one_round(folder, bodies, seed) for seed in range(given.rounds)]
    ratios = {name: [medians[name] / medians[like] for medians in rounds_ms] for name, like in LIKE.items()}
    middles = {name: statistics.median(values) for name, values in ratios.items()}
    rows = [
        (
            f"{name} / {like}",
            f"{middles[name]:.3f} ({min(ratios[name]):.3f} to {max(ratios[name]):.3f})",
            f"at most {MAX_RATIO}",
        )
        for name, like in LIKE.items()
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
