"""Every setting of the embedder does what it says, and a remote embedder spares a process torch."""

import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from torchserve_server import TOKEN, TorchServeServer

from lookalike.bootstrap import wire
from lookalike.embedding.archive import write_archive
from lookalike.embedding.baselines import build_baseline
from lookalike.embedding.remote_http import EmbedderConnection
from lookalike.errors import DependencyUnavailable, InvalidRequest, ModelNotFound
from lookalike.pipeline.change import NewImage, add_images
from lookalike.pipeline.index_gallery import embed_gallery
from lookalike.pipeline.models import export_archive, import_model
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import EmbedderSettings, load
from lookalike.storage.local import LocalStore
from lookalike.types.images import Labels
from lookalike.types.models import ResizePolicy

MODEL = "pixels16"


def environment(folder: Path, **embedder: object) -> dict[str, str]:
    said = {f"LOOKALIKE_EMBEDDER__{name.upper()}": str(value) for name, value in embedder.items()}
    return {"LOOKALIKE_STORAGE__FOLDER": f"{folder}/store", "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache", **said}


@pytest.fixture
def opened() -> Iterator[Callable[..., Workspace]]:
    """Wires a workspace over the store in a folder, with settings of the embedder; closes it at the end."""
    workspaces: list[Workspace] = []

    def open_one(folder: Path, **embedder: object) -> Workspace:
        workspaces.append(wire(load(environment(folder, **embedder), folder / "none.toml")))
        return workspaces[-1]

    yield open_one
    for workspace in workspaces:
        workspace.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a model and a gallery of six images."""
    made = tmp_path_factory.mktemp("bootstrap")
    workspace = wire(load(environment(made), made / "none.toml"))
    import_model(workspace, f"baseline:{MODEL}")
    workspace.galleries.create("six")
    add_images(workspace, "six", [NewImage(f"{red}.png", png(red), Labels(), {}) for red in range(0, 240, 40)])
    workspace.close()
    return made


def png(red: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(red).integers(0, 256, (20, 30, 3), np.uint8)
    pixels[..., 0] = red
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """The embedder service in a process of its own."""
    workspace = wire(load(environment(folder), folder / "none.toml"))
    export_archive(workspace, MODEL, folder / "model.mar")
    workspace.close()
    command = [sys.executable, "-m", "services.embedder", str(folder / "model.mar"), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        log = ""
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log)):
            line = process.stderr.readline()
            assert line, f"the service ended: {log}"
            log += line
        draining = threading.Thread(target=process.stderr.read)  # or the service blocks on a full pipe
        draining.start()
        yield found.group()
        process.terminate()
        draining.join()


def test_every_setting_has_a_test_of_its_effect() -> None:
    # default_model: tests/unit/cli/test_cli_indexing.py
    tested = {"default_model", "url", "precision", "batch_size", "threads", "decode_threads"}
    tested |= {"protocol", "token", "in_flight", "patience_s"}
    assert set(EmbedderSettings.model_fields) == tested, "test what the new setting does, then name it here"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision(folder: Path, opened: Callable[..., Workspace], precision: str) -> None:
    assert opened(folder, precision=precision).embedder(MODEL).runtime.precision == precision


@pytest.mark.parametrize("number", [1, 3])
def test_threads_and_batch_size(folder: Path, opened: Callable[..., Workspace], number: int) -> None:
    runtime = opened(folder, threads=number).embedder(MODEL).runtime
    assert (runtime.threads, runtime.device) == (number, "cpu")
    embedder = opened(folder, batch_size=number + 1).embedder(MODEL)
    assert (embedder.batch_size, embedder.runtime.batch_size) == (number + 1, number + 1)


@pytest.mark.parametrize("number", [2, 5])
def test_decode_threads(
    folder: Path, opened: Callable[..., Workspace], number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first images wait until ``number`` are being read: with fewer threads the run would not get past that."""
    workspace = opened(folder, decode_threads=number, batch_size=1)
    together = threading.Barrier(number)
    met = threading.Event()
    get = LocalStore.get
    readers: set[int] = set()

    def meet(store: LocalStore, key: str) -> bytes:
        if "/images/" in key:
            readers.add(threading.get_ident())
            if not met.is_set():
                together.wait(timeout=30)
                met.set()
        return get(store, key)

    monkeypatch.setattr(LocalStore, "get", meet)
    # A part of its own for each case: what is embedded is not read again.
    gallery = f"decode-{number}"
    workspace.galleries.create(gallery)
    add_images(workspace, gallery, [NewImage(f"{red}.png", png(red), Labels(), {}) for red in range(3 * number)])
    report = embed_gallery(workspace, gallery, MODEL)
    assert (report.embedded, report.failed) == (3 * number, 0)
    assert len(readers) == number


def test_url_gives_the_same_embeddings_as_the_model_in_process(
    folder: Path, url: str, opened: Callable[..., Workspace]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), np.uint8)
    remote = opened(folder, url=url, batch_size=4).embedder(MODEL)
    local = opened(folder).embedder(MODEL)
    assert remote.embed(images) == pytest.approx(local.embed(images), abs=1e-6)
    assert remote.manifest == local.manifest
    assert str(remote.manifest.ref) == f"{MODEL}@1"
    assert (remote.batch_size, remote.runtime.batch_size) == (4, 4)
    assert remote.runtime.libraries == local.runtime.libraries


REMOTE_RUN = """
import sys
from pathlib import Path
from lookalike.bootstrap import wire
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.search import search
from lookalike.settings import load
from lookalike.types.search import SearchRequest

workspace = wire(load())
report = embed_gallery(workspace, "six", "pixels16")
made = newest_set(workspace, "six", "pixels16")
promote_indexes(workspace, "six", made, build_indexes(workspace, "six", made, ["exact"]))
((runtime,),) = [manifest.made_with for manifest in workspace.sets.lineage(made)]
query = Path(sys.argv[1]).read_bytes()
answer = search(workspace.serving.gallery("six"), SearchRequest(k=1), workspace.query, image=query)
workspace.close()
print(report.embedded, answer.hits[0].key, "torch" in runtime.libraries, "torch" in sys.modules)
"""


def test_a_process_with_a_remote_embedder_embeds_and_searches_without_torch(
    folder: Path, url: str, tmp_path: Path
) -> None:
    (tmp_path / "query.png").write_bytes(png(80))
    done = subprocess.run(
        [sys.executable, "-c", REMOTE_RUN, str(tmp_path / "query.png")],
        env={**environment(folder, url=url), "LOOKALIKE_CONFIG": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["6", "80.png", "True", "False"]


@pytest.mark.parametrize(
    ("changes", "baseline", "said"),
    [
        ({}, "color_edges", "serves another 'pixels16' than the one with digest"),
        ({"resize_policy": ResizePolicy.LETTERBOX}, MODEL, "prepares images for pixels16 otherwise"),
    ],
)
def test_another_model_under_the_same_name_is_never_mixed_in(
    url: str,
    tmp_path: Path,
    opened: Callable[..., Workspace],
    changes: dict[str, object],
    baseline: str,
    said: str,
) -> None:
    workspace = opened(tmp_path, url=url)
    program, manifest = build_baseline(baseline)
    written = write_archive(tmp_path / "a.mar", program, manifest.model_copy(update={"name": MODEL, **changes}))
    workspace.models.add(tmp_path / "a.mar", written)
    with pytest.raises(DependencyUnavailable, match=said):
        workspace.embedder(MODEL)
    with pytest.raises(DependencyUnavailable):  # and not remembered as if it had worked
        workspace.embedder(MODEL)


@pytest.mark.parametrize("other", [{"precision": "float32"}, {"threads": 2}])
def test_what_a_remote_embedder_decides_for_itself_is_refused_beside_its_url(
    tmp_path: Path, other: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest, match=r"embedder\.url"):
        load(environment(tmp_path, url="http://embedder:8080", **other), tmp_path / "none.toml")


def test_a_service_that_is_not_there_is_said(folder: Path, opened: Callable[..., Workspace]) -> None:
    with pytest.raises(DependencyUnavailable, match="does not answer") as raised:
        opened(folder, url="http://user:secret@127.0.0.1:1").embedder(MODEL)
    assert "secret" not in str(raised.value)


def test_protocol_and_token_lead_to_torchserve(
    tmp_path: Path, torchserve_server: TorchServeServer, opened: Callable[..., Workspace]
) -> None:
    import_model(opened(tmp_path), "baseline:color_edges")
    there = {"url": torchserve_server.url, "protocol": "torchserve"}
    images = np.random.default_rng(0).integers(0, 256, (9, 128, 128, 3), np.uint8)
    remote = opened(tmp_path, token=TOKEN, batch_size=4, **there).embedder("color_edges")
    assert remote.embed(images) == pytest.approx(opened(tmp_path).embedder("color_edges").embed(images), abs=1e-5)
    assert str(remote.manifest.ref) == "color_edges@1"
    assert remote.runtime.batch_size == 4
    with pytest.raises(DependencyUnavailable, match="refuses the token"):
        opened(tmp_path, token="another", **there).embedder("color_edges")  # noqa: S106
    with pytest.raises(ModelNotFound):  # it does not speak our own protocol
        opened(tmp_path, url=torchserve_server.url).embedder("color_edges")


def test_patience_is_how_long_a_model_is_waited_for(
    tmp_path: Path, torchserve_server: TorchServeServer, opened: Callable[..., Workspace]
) -> None:
    import_model(opened(tmp_path), "baseline:color_edges", resize_policy=ResizePolicy.SQUASH, name="nowhere")
    there = {"url": torchserve_server.url, "protocol": "torchserve", "token": TOKEN}
    for patience_s in (0.0, 1.0):
        started = time.monotonic()
        with pytest.raises(DependencyUnavailable, match="does not serve nowhere@1"):
            opened(tmp_path, patience_s=patience_s, **there).embedder("nowhere")
        # The last pause that would be too long is not begun.
        assert time.monotonic() - started >= patience_s / 3


@pytest.mark.parametrize("number", [1, 3])
def test_so_many_requests_are_in_flight(
    tmp_path: Path, torchserve_server: TorchServeServer, opened: Callable[..., Workspace], number: int
) -> None:
    import_model(opened(tmp_path), "baseline:color_edges")
    there = {"url": torchserve_server.url, "protocol": "torchserve", "token": TOKEN, "batch_size": 1}
    embedder = opened(tmp_path, in_flight=number, **there).embedder("color_edges")
    request = EmbedderConnection.request
    present, most, lock = 0, 0, threading.Lock()

    def counted(self: EmbedderConnection, *said: Any, **more: Any) -> httpx.Response:
        nonlocal present, most
        with lock:
            present += 1
            most = max(most, present)
        try:
            return request(self, *said, **more)
        finally:
            with lock:
                present -= 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmbedderConnection, "request", counted)
        embedder.embed(np.zeros((40, 128, 128, 3), np.uint8))
    assert most == number
