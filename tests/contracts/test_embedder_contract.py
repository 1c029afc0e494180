"""The embedder port: the same suite on a model in this process, and over HTTP on our server and on TorchServe."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from numpy.typing import NDArray
from torchserve_server import TOKEN, TorchServeServer

from lookalike.embedding.archive import write_archive
from lookalike.embedding.baselines import build_baseline
from lookalike.embedding.port import Embedder
from lookalike.embedding.remote import RemoteEmbedder
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.embedding.torchserve import TorchServeEmbedder
from lookalike.errors import InvalidRequest, ModelNotFound
from services.embedder.http import create_app


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchEmbedder]:
    path: Path = tmp_path_factory.mktemp("contract") / "color_edges.mar"
    write_archive(path, *build_baseline("color_edges"))
    embedder = TorchEmbedder(path, threads=2, batch_size=8)
    yield embedder
    embedder.close()


class StartedServer(uvicorn.Server):
    """Says when it listens, and on which port."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        self.listening.set()

    @property
    def port(self) -> int:
        return int(self.servers[0].sockets[0].getsockname()[1])


@pytest.fixture(scope="module")
def url(local: TorchEmbedder) -> Iterator[str]:
    app = create_app([local])
    server = StartedServer(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.listening.wait(timeout=30)
    yield f"http://127.0.0.1:{server.port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def remote(url: str) -> Iterator[RemoteEmbedder]:
    embedder = RemoteEmbedder(url, "color_edges")
    yield embedder
    embedder.close()


@pytest.fixture(scope="module")
def torchserve(torchserve_server: TorchServeServer, local: TorchEmbedder) -> Iterator[TorchServeEmbedder]:
    embedder = TorchServeEmbedder(torchserve_server.url, local.manifest, token=TOKEN, batch_size=8)
    yield embedder
    embedder.close()


@pytest.fixture(params=["local", "remote", "torchserve"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    found: Embedder = request.getfixturevalue(request.param)
    return found


def photographs(num_images: int, size: int = 128) -> NDArray[np.uint8]:
    """Smooth colours that differ from image to image."""
    coarse = np.random.default_rng(0).integers(0, 256, (num_images, 4, 4, 3), np.uint8)
    return coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2)


def test_it_says_what_it_takes_and_gives(embedder: Embedder) -> None:
    assert embedder.manifest.name == "color_edges"
    assert embedder.manifest.input_size == 128
    assert embedder.batch_size >= 1


@pytest.mark.parametrize("num_images", [1, 2, 7, 8, 9, 50])
def test_every_image_gets_an_embedding_of_length_one(embedder: Embedder, num_images: int) -> None:
    embeddings = embedder.embed(photographs(num_images))
    assert embeddings.shape == (num_images, embedder.manifest.dimension)
    assert embeddings.dtype == np.float32
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-3)


def test_no_images_no_embeddings(embedder: Embedder) -> None:
    embeddings = embedder.embed(photographs(0))
    assert embeddings.shape == (0, embedder.manifest.dimension)
    assert embeddings.dtype == np.float32


def test_rows_are_in_the_order_of_the_images(embedder: Embedder) -> None:
    images = photographs(20)
    embeddings = embedder.embed(images)
    for row in (0, 7, 8, 19):
        alone = embedder.embed(images[row : row + 1])[0]
        assert int(np.argmax(embeddings @ alone)) == row
        assert float(embeddings[row] @ alone) >= 0.9999
    assert embedder.embed(images[::-1]) @ embeddings[0] == pytest.approx((embeddings @ embeddings[0])[::-1], abs=1e-4)


def test_the_same_batch_gives_the_same_bits(embedder: Embedder) -> None:
    images = photographs(11)
    assert np.array_equal(embedder.embed(images), embedder.embed(images.copy()))


def test_images_are_not_changed(embedder: Embedder) -> None:
    images = photographs(3)
    images.setflags(write=False)
    before = images.copy()
    embedder.embed(images)
    assert np.array_equal(images, before)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((128, 128, 3), np.uint8),
        np.zeros((1, 127, 128, 3), np.uint8),
        np.zeros((1, 128, 128, 4), np.uint8),
        np.zeros((1, 3, 128, 128), np.uint8),
        np.zeros((1, 128, 128, 3), np.float32),
        np.zeros((1, 128, 128, 3), np.int8),
        np.zeros((0,), np.uint8),
    ],
    ids=lambda images: f"{images.dtype}{list(images.shape)}",
)
def test_other_shapes_and_types_are_refused(embedder: Embedder, wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(InvalidRequest):
        embedder.embed(wrong)


def test_threads_may_share_one(embedder: Embedder) -> None:
    images = photographs(24)
    expected = [embedder.embed(images[start : start + 6]) for start in range(0, 24, 6)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda start: embedder.embed(images[start : start + 6]), range(0, 24, 6)))
    assert all(np.array_equal(*pair) for pair in zip(answers, expected, strict=True))


def test_all_give_the_same_embeddings(local: TorchEmbedder, embedder: Embedder) -> None:
    images = photographs(10)
    assert (local.embed(images) * embedder.embed(images)).sum(axis=1).min() >= 0.9999
    assert local.manifest == embedder.manifest


def test_a_model_that_is_not_served_is_not_found(url: str) -> None:
    with pytest.raises(ModelNotFound):
        RemoteEmbedder(url, "resnet18")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"", 412),
        ({"If-Match": '"another"'}, b"", 412),
        ({"If-Match": "right"}, b"", 422),
        ({"If-Match": "right", "Lookalike-Shape": "1,128,128,3"}, b"short", 422),
        ({"If-Match": "right", "Lookalike-Shape": "1,128,128,3"}, b"\0" * (128 * 128 * 3 + 1), 422),
        ({"If-Match": "right", "Lookalike-Shape": "-1,128,128,3"}, b"", 422),
        ({"If-Match": "right", "Lookalike-Shape": "1,64,64,3"}, b"\0" * (64 * 64 * 3), 422),
        ({"If-Match": "right", "Lookalike-Shape": "999999999,128,128,3"}, b"", 422),
    ],
)
def test_the_server_refuses_what_is_malformed(
    url: str, local: TorchEmbedder, headers: dict[str, str], body: bytes, status: int
) -> None:
    sent = {name: f'"{local.manifest.digest}"' if value == "right" else value for name, value in headers.items()}
    response = httpx.post(f"{url}/v1/models/color_edges/embeddings", headers=sent, content=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"]
