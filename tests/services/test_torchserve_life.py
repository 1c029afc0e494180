"""TorchServe's models follow the store, whatever is restarted, killed or damaged. The real one runs."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from real_servers import wait_until
from torchserve_server import TOKEN, TorchServeServer

from lookalike.catalog import keys
from lookalike.embedding.batching import Batching
from lookalike.embedding.remote_protocol import served_name
from lookalike.embedding.torchserve import TorchServeEmbedder, reconcile
from lookalike.errors import DependencyUnavailable
from lookalike.storage.local import LocalStore
from lookalike.types.models import ModelManifest

PATIENCE_S = 90.0


def embed(server: TorchServeServer, manifest: ModelManifest, *, patience_s: float = PATIENCE_S) -> NDArray[np.float32]:
    """Three images' embeddings."""
    embedder = TorchServeEmbedder(server.url, manifest, token=TOKEN, patience_s=patience_s)
    try:
        side = manifest.input_size
        return embedder.embed(np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8))
    finally:
        embedder.close()


def states(server: TorchServeServer) -> dict[str, tuple[int, int]]:
    """Workers wanted and answering, by model."""
    done = reconcile(server.url, TOKEN)
    return {one.model: (one.workers, one.ready) for one in done.models.values()}


def register_damaged(server: TorchServeServer, name: str) -> ModelManifest:
    """A registered model whose archive has other bytes at its end than it had."""
    whole = TorchServeServer(server.folder / "whole", cache=server.cache)
    manifest = whole.register("pixels16", name)
    models = whole.folder / "store" / "models" / name
    (archive,) = (models / "archives").iterdir()
    archive.write_bytes(archive.read_bytes()[:-50] + b"\0" * 50)
    target = server.folder / "store" / "models" / name
    shutil.copytree(models / "archives", target / "archives")
    shutil.copytree(models, target, dirs_exist_ok=True)  # the manifest after the archive: it is looked for every second
    return manifest


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TorchServeServer]:
    made = TorchServeServer(tmp_path)
    yield made
    made.close()


def test_the_served_models_follow_the_store(server: TorchServeServer) -> None:
    server.settings["TORCHSERVE__IDLE_S"] = "8"
    first = server.register("color_edges")
    server.start()
    store = LocalStore(server.folder / "store")

    # Registered while it runs, and asked for at once.
    other = server.register("color_edges", "other", Batching(requests=3, delay_ms=5))
    assert embed(server, other).shape == (3, other.dimension)
    assert states(server) == {"color_edges@1": (1, 1), "other@1": (1, 1)}
    # How requests are merged is the archive's to say, else the settings'.
    for manifest, expected in ((other, (3, 5)), (first, (8, 2))):
        (said,) = server.managed(f"/models/{served_name(manifest)}")
        assert (said["batchSize"], said["maxBatchDelay"]) == expected

    # A newer version has the workers; the older one gets some when it is asked for, and loses them again.
    newer = server.register("pixels16", "other")
    assert newer.version == 2
    embed(server, newer)
    wait_until(lambda: states(server)["other@1"][0] == 0, what="other@1 is idle", timeout_s=60)
    assert embed(server, other).shape == (3, other.dimension)
    assert states(server)["other@1"] == (1, 1)
    wait_until(lambda: states(server)["other@1"] == (0, 0), what="other@1 is idle again", timeout_s=60)

    # An archive that is not the registered one is not served; everything else is.
    damaged = register_damaged(server, "damaged")
    done = reconcile(server.url, TOKEN)
    assert not done.complete
    assert any(served_name(damaged) in error for error in done.errors)
    assert served_name(damaged) in server.log
    assert embed(server, first).shape == (3, first.dimension)

    # What is gone from the store is served no longer.
    for manifest in (other, newer, damaged):
        store.delete(keys.model_manifest(manifest.name, manifest.version or 0))
    wait_until(lambda: states(server) == {"color_edges@1": (1, 1)}, what="one model is left")
    assert f"unregistered {served_name(newer)}" in server.log
    with pytest.raises(DependencyUnavailable, match="does not serve other@2"):
        embed(server, newer, patience_s=0)
    assert len(server.workers()) == 1


def test_whatever_dies_comes_back_and_clients_wait_for_it(server: TorchServeServer) -> None:
    manifest = server.register("color_edges")
    server.start()
    expected = embed(server, manifest)
    patient = TorchServeEmbedder(server.url, manifest, token=TOKEN, patience_s=PATIENCE_S)
    images = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)

    (worker,) = server.workers()
    worker.kill()
    assert np.allclose(patient.embed(images), expected, atol=1e-5)

    java, workers = server.java(), server.workers()
    java.kill()
    psutil.wait_procs([java, *workers], timeout=30)
    assert not any(one.is_running() for one in (java, *workers))
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    assert np.allclose(patient.embed(images), expected, atol=1e-5)
    assert server.java().pid != java.pid
    patient.close()
    metrics = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").text
    assert "lookalike_torchserve_starts_total 2.0" in metrics


def test_clients_that_find_no_room_come_again_until_there_is(server: TorchServeServer) -> None:
    """One request at a time has room, and eight come."""
    server.settings["TORCHSERVE__QUEUE_REQUESTS"] = "1"
    manifest = server.register("color_edges")
    server.start()
    images = np.random.default_rng(0).integers(0, 256, (96, 128, 128, 3), np.uint8)
    embedder = TorchServeEmbedder(server.url, manifest, token=TOKEN, patience_s=PATIENCE_S, in_flight=8, batch_size=4)
    found = embedder.embed(images)
    embedder.close()
    assert "/predictions/{name} 503" in server.log
    one_by_one = TorchServeEmbedder(server.url, manifest, token=TOKEN, in_flight=1, batch_size=4)
    assert np.array_equal(found, one_by_one.embed(images))
    one_by_one.close()


def test_requests_under_way_are_finished_when_it_is_told_to_stop(server: TorchServeServer) -> None:
    manifest = server.register("color_edges")
    server.start()
    embedder = TorchServeEmbedder(server.url, manifest, token=TOKEN, patience_s=0, in_flight=4, batch_size=64)
    images = np.random.default_rng(0).integers(0, 256, (256, 128, 128, 3), np.uint8)
    found: list[NDArray[np.float32]] = []
    asking = threading.Thread(target=lambda: found.append(embedder.embed(images)))
    asking.start()
    # TorchServe counts a request when it comes in.
    metrics = f"http://127.0.0.1:{server.metrics_port}/metrics"
    wait_until(lambda: _num_requests(httpx.get(metrics).text) >= 5, what="the requests are under way")
    below = [server.java(), *server.workers()]
    assert server.stop() == 0, server.log
    asking.join()
    embedder.close()
    assert len(found) == 1
    assert found[0].shape == (256, manifest.dimension)
    assert not any(one.is_running() for one in below)
    assert list((server.cache / "torchserve").iterdir()) == []
    assert "Traceback" not in server.log


def test_a_supervisor_that_is_killed_leaves_nothing_running(server: TorchServeServer) -> None:
    manifest = server.register("color_edges")
    server.start()
    below = [server.java(), *server.workers()]
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    gone, alive = psutil.wait_procs(below, timeout=60)
    assert not alive, gone
    (abandoned,) = (server.cache / "torchserve").iterdir()
    server.start()
    assert not abandoned.exists()
    assert embed(server, manifest).shape == (3, manifest.dimension)


def _num_requests(metrics: str) -> float:
    counts = [
        line.rpartition(" ")[2] for line in metrics.splitlines() if line.startswith("ts_inference_requests_total{")
    ]
    return sum(float(count) for count in counts)


def test_an_open_port_without_a_token_is_refused(server: TorchServeServer) -> None:
    server.host = "0.0.0.0"  # noqa: S104
    server.settings["EMBEDDER__TOKEN"] = ""
    server.start(wait=False)
    assert server.process is not None
    assert server.process.wait(60) == 78
    assert "LOOKALIKE_EMBEDDER__TOKEN" in server.log


def test_a_taken_port_is_said(server: TorchServeServer, torchserve_server: TorchServeServer) -> None:
    server.port = torchserve_server.port
    server.start(wait=False)
    assert server.process is not None
    assert server.process.wait(60) == 71
    assert "in use" in server.log


def test_a_torchserve_that_cannot_start_is_given_up(
    server: TorchServeServer, torchserve_server: TorchServeServer
) -> None:
    """The management port is another one's: TorchServe ends at once, again and again."""
    server.management_port = torchserve_server.management_port
    server.start(wait=False)
    assert server.process is not None
    assert server.process.wait(120) == 70
    assert "giving up" in server.log
