"""A gateway as a process of its own over a cluster's store and queue, for as long as a proof takes."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cluster import Cluster
from real_servers import wait_until

START_S = 120.0


@contextmanager
def gateway(cluster: Cluster, *, name: str = "gateway") -> Iterator[str]:
    """Its address, once it serves; killed at the end. What it printed is in ``NAME.log`` of the cluster's folder."""
    log = cluster.folder / f"{name}.log"
    environment = {**cluster.environment, "LOOKALIKE_GATEWAY__PORT": "0"}
    with log.open("wb") as sink:
        command = [sys.executable, "-m", "lookalike", "serve"]
        process = subprocess.Popen(command, cwd=cluster.folder, env=environment, stdout=sink, stderr=sink)
    try:

        def address() -> str | None:
            text = log.read_text(errors="replace")
            assert process.poll() is None, text[-3000:]
            found = re.search(r"serving on (http://[^\s\"]+)", text)
            return found[1] if found else None

        wait_until(lambda: address() is not None, what=f"{name} serves", timeout_s=START_S)
        url = address()
        assert url is not None
        yield url
    finally:
        process.kill()
        process.wait()
