"""What TorchServe answers to requests in every form, alone and merged with others. The real one runs."""

import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchserve_server import TOKEN, TorchServeServer

from lookalike.catalog.models import Models
from lookalike.embedding.remote_protocol import served_name
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.embedding.torchserve import TorchServeEmbedder, reconcile
from lookalike.errors import DependencyUnavailable
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.storage.local import LocalStore
from lookalike.types.models import ModelManifest

RAW, JSON = "application/octet-stream", "application/json"


@pytest.fixture(scope="module")
def manifest(torchserve_server: TorchServeServer) -> ModelManifest:
    return Models(LocalStore(torchserve_server.folder / "store")).get("color_edges")


@pytest.fixture(scope="module")
def local(
    torchserve_server: TorchServeServer, manifest: ModelManifest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TorchEmbedder]:
    archive = tmp_path_factory.mktemp("local") / "color_edges.mar"
    Models(LocalStore(torchserve_server.folder / "store")).fetch_archive(manifest, archive)
    embedder = TorchEmbedder(archive)
    yield embedder
    embedder.close()


class Asker:
    """Requests of one model, with the token."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self._url = url

    def ask(
        self, content: bytes | Iterator[bytes] | None = None, *, method: str = "POST", **more: Any
    ) -> httpx.Response:
        return self._client.request(method, self._url, content=content, **more)


@pytest.fixture(scope="module")
def client(torchserve_server: TorchServeServer, manifest: ModelManifest) -> Iterator[Asker]:
    with httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as made:
        yield Asker(made, f"{torchserve_server.url}/predictions/{served_name(manifest)}")


def picture(seed: int, kind: str = "PNG") -> bytes:
    """A drawn image with sides of its own."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), np.uint8)).resize(
        (200 + seed, 150), Image.Resampling.BICUBIC
    )
    buffer = io.BytesIO()
    coarse.save(buffer, kind)
    return buffer.getvalue()


def pixels(data: bytes, manifest: ModelManifest) -> NDArray[np.uint8]:
    return prepare(data, size=manifest.input_size, policy=manifest.resize_policy, limits=ImageLimits())


def rows(response: httpx.Response) -> NDArray[np.float32]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == RAW
    num, dimension = (int(side) for side in response.headers["lookalike-shape"].split(","))
    return np.frombuffer(response.content, "<f4").reshape(num, dimension)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_one_image_of_any_format_is_prepared_as_the_manifest_says(
    client: Asker, local: TorchEmbedder, manifest: ModelManifest, kind: str
) -> None:
    data = picture(1, kind)
    response = client.ask(data, headers={"Content-Type": f"image/{kind.lower()}"})
    found_1D = rows(response)
    assert response.headers["lookalike-model"] == manifest.embedding_digest
    assert (found_1D @ local.embed(pixels(data, manifest)[None]).T).item() >= 0.9999
    assert np.linalg.norm(found_1D) == pytest.approx(1, abs=1e-3)


def test_an_image_may_come_without_its_type(client: Asker, manifest: ModelManifest) -> None:
    assert rows(client.ask(picture(2), method="PUT", headers={"Content-Type": RAW})).shape == (1, manifest.dimension)


def test_pixels_with_their_shape_in_a_header(client: Asker, local: TorchEmbedder, manifest: ModelManifest) -> None:
    images_NSSC = np.stack([pixels(picture(seed), manifest) for seed in range(5)])
    shape = ",".join(str(side) for side in images_NSSC.shape)
    response = client.ask(images_NSSC.tobytes(), headers={"Content-Type": RAW, "Lookalike-Shape": shape})
    assert (rows(response) * local.embed(images_NSSC)).sum(axis=1).min() >= 0.9999


def test_json_where_it_is_accepted(client: Asker, manifest: ModelManifest) -> None:
    data = picture(3)
    raw = rows(client.ask(data, headers={"Accept": RAW}))
    response = client.ask(data, headers={"Accept": JSON})
    assert response.headers["content-type"] == JSON
    said = response.json()
    assert (said["model"], said["digest"]) == ("color_edges", manifest.embedding_digest)
    assert np.allclose(np.array(said["embeddings"], np.float32), raw, atol=1e-6)
    assert said["errors"] == {}


def test_of_many_files_in_one_form_a_bad_one_fails_alone(
    client: Asker, local: TorchEmbedder, manifest: ModelManifest
) -> None:
    good = [picture(4), picture(5)]
    form = {"first": good[0], "second": b"this is no image", "third": good[1]}
    files = {name: (name, data, "image/png") for name, data in form.items()}
    expected = local.embed(np.stack([pixels(data, manifest) for data in good]))
    response = client.ask(files=files)
    found = rows(response)
    assert response.headers["lookalike-failed"] == "1"
    assert np.isnan(found[1]).all()
    assert (found[[0, 2]] * expected).sum(axis=1).min() >= 0.9999
    said = client.ask(files=files, headers={"Accept": JSON}).json()
    assert said["embeddings"][1] is None
    assert said["errors"]["1"]["code"] == "unsupported_image"
    assert np.allclose(np.array([said["embeddings"][0], said["embeddings"][2]]), found[[0, 2]], atol=1e-6)


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"Content-Type": "image/jpeg"}, b"\xff\xd8\xff\xe0 not a picture", 422, "invalid_image"),
        ({"Content-Type": "image/png"}, b"this is no image", 415, "unsupported_image"),
        ({"Content-Type": "text/plain"}, b"this is no image", 415, "unsupported_image"),
        ({"Content-Type": JSON}, b'{"image": 1}', 415, "unsupported_image"),
        ({"Content-Type": RAW}, b"", 422, "invalid_request"),
        ({"Content-Type": RAW, "Lookalike-Shape": "1,128,128,3"}, b"short", 422, "invalid_request"),
        ({"Content-Type": RAW, "Lookalike-Shape": "1,64,64,3"}, b"\0" * (64 * 64 * 3), 422, "invalid_request"),
        ({"Content-Type": RAW, "Lookalike-Shape": "-1,128,128,3"}, b"", 422, "invalid_request"),
        ({"Content-Type": RAW, "Lookalike-Shape": "a"}, b"", 422, "invalid_request"),
    ],
)
def test_what_is_wrong_is_a_problem_with_a_code(
    client: Asker, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    response = client.ask(body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status


def test_requests_that_are_answered_together_fail_alone(
    client: Asker, local: TorchEmbedder, manifest: ModelManifest
) -> None:
    """Merged by TorchServe: several at once, every third of them bad."""
    barrier = threading.Barrier(12)

    def ask(number: int) -> httpx.Response:
        data = b"this is no image" if number % 3 == 2 else picture(number)
        barrier.wait()
        return client.ask(data, headers={"Content-Type": "image/png"})

    with ThreadPoolExecutor(12) as pool:
        responses = list(pool.map(ask, range(12)))
    for number, response in enumerate(responses):
        if number % 3 == 2:
            assert response.status_code == 415
        else:
            expected = local.embed(pixels(picture(number), manifest)[None])
            assert (rows(response) @ expected.T).item() >= 0.9999


def test_a_request_without_content_length_is_refused(client: Asker) -> None:
    response = client.ask(iter([picture(1)]))
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
def test_nobody_embeds_without_the_token(
    torchserve_server: TorchServeServer, manifest: ModelManifest, header: dict[str, str]
) -> None:
    for path in (f"/predictions/{served_name(manifest)}", "/v1/reconcile"):
        response = httpx.post(f"{torchserve_server.url}{path}", headers=header, content=picture(1), timeout=30)
        assert response.status_code == 401
        assert response.json()["code"] in ("key_missing", "key_refused")
    with pytest.raises(DependencyUnavailable, match="refuses the token"):
        TorchServeEmbedder(torchserve_server.url, manifest, token="wrong")  # noqa: S106
    with pytest.raises(DependencyUnavailable, match="refuses the token"):
        reconcile(torchserve_server.url, None)


@pytest.mark.parametrize("path", ["/models", "/token?type=inference", "/predictions/../models", "/predictions/a/b"])
def test_the_front_has_no_way_to_anything_else(torchserve_server: TorchServeServer, path: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for method in ("GET", "POST", "DELETE"):
        assert httpx.request(method, f"{torchserve_server.url}{path}", headers=headers).status_code in (404, 405)


def test_an_unknown_model_is_not_found(torchserve_server: TorchServeServer, manifest: ModelManifest) -> None:
    response = httpx.post(
        f"{torchserve_server.url}/predictions/another", headers={"Authorization": f"Bearer {TOKEN}"}, content=b"x"
    )
    assert (response.status_code, response.json()["code"]) == (404, "model_not_found")
    other = manifest.model_copy(update={"digest": "0" * 64, "version": 7})
    with pytest.raises(DependencyUnavailable, match="does not serve color_edges@7"):
        TorchServeEmbedder(torchserve_server.url, other, token=TOKEN, patience_s=0)


def test_torchserve_itself_listens_on_this_machine_only_and_wants_its_keys(torchserve_server: TorchServeServer) -> None:
    listening = {
        found.laddr.port: found.laddr.ip
        for found in torchserve_server.java().net_connections("tcp")
        if found.status == psutil.CONN_LISTEN
    }
    assert torchserve_server.management_port in listening
    assert {ip.removeprefix("::ffff:") for ip in listening.values()} == {"127.0.0.1"}
    management = f"http://127.0.0.1:{torchserve_server.management_port}"
    for method, path in (("GET", "/models"), ("POST", "/models?url=x.mar"), ("DELETE", "/models/x"), ("GET", "/token")):
        for header in ({}, {"Authorization": f"Bearer {TOKEN}"}):
            assert httpx.request(method, f"{management}{path}", headers=header).status_code == 400


def test_the_keys_are_in_no_log_and_no_worker(torchserve_server: TorchServeServer) -> None:
    (file,) = torchserve_server.cache.glob("torchserve/run-*/key_file.json")
    assert file.stat().st_mode & 0o077 == 0
    keys = [said["key"] for said in json.loads(file.read_text()).values()]
    (worker, *_) = torchserve_server.workers()
    environment = worker.environ()
    for secret in (*keys, TOKEN):
        assert secret not in torchserve_server.log
        assert not any(secret in value for value in environment.values())
    assert not any(name.startswith(("LOOKALIKE_STORAGE", "LOOKALIKE_QUEUE")) for name in environment)


def test_prometheus_gets_torchserves_metrics_and_ours(torchserve_server: TorchServeServer) -> None:
    text = httpx.get(f"http://127.0.0.1:{torchserve_server.metrics_port}/metrics").text
    assert 'lookalike_torchserve_models{state="ready"} 1.0' in text
    assert 'lookalike_torchserve_actions_total{action="register",outcome="ok"} 1.0' in text
    assert "ts_inference_requests_total{" in text
