"""What the remote embedder makes of servers that answer late, wrongly or not at all."""

import json

import numpy as np
import pytest

from lookalike.embedding.remote import RemoteEmbedder
from lookalike.errors import DependencyUnavailable, InvalidRequest, ModelNotFound
from lookalike.types.models import ModelManifest, ResizePolicy

MANIFEST = ModelManifest(name="m", dimension=2, input_size=4, resize_policy=ResizePolicy.SQUASH, digest="abc")


DESCRIBED = (
    200,
    {},
    json.dumps(
        {
            "manifest": MANIFEST.model_dump(mode="json"),
            "batch_size": 2,
            "max_images": 3,
            "runtime": {"precision": "float32", "device": "cpu", "batch_size": 2, "threads": 1},
        }
    ).encode(),
)


@pytest.fixture
def pauses() -> list[float]:
    return []


def images(num_images: int) -> np.ndarray:
    return np.zeros((num_images, 4, 4, 3), np.uint8)


def test_it_sends_pixels_and_names_the_model_it_means(server, pauses):
    server.answers = [DESCRIBED, server.embeddings((0.6, 0.8))]
    embedder = RemoteEmbedder(server.url, "m", sleep=pauses.append)
    assert (embedder.manifest, embedder.batch_size) == (MANIFEST, 2)
    assert embedder.embed(images(1)) == pytest.approx(np.array([[0.6, 0.8]]))
    assert server.requests == [("GET", "/v1/models/m"), ("POST", "/v1/models/m/embeddings")]
    assert server.headers[1]["if-match"] == '"abc"'
    assert server.headers[1]["lookalike-shape"] == "1,4,4,3"
    assert pauses == []
    embedder.close()


def test_large_batches_go_in_several_requests(server, pauses):
    three, one = server.embeddings((1, 0), (0, 1), (1, 0)), server.embeddings((0.6, 0.8))
    server.answers = [DESCRIBED, three, one]
    embedder = RemoteEmbedder(server.url, "m", sleep=pauses.append)
    assert embedder.embed(images(4)) == pytest.approx(np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]]))
    embedder.close()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_tried_again(server, pauses, status):
    server.answers = [DESCRIBED, (status, {}, b""), (status, {}, b""), server.embeddings((1, 0))]
    embedder = RemoteEmbedder(server.url, "m", sleep=pauses.append)
    assert embedder.embed(images(1)) == pytest.approx(np.array([[1, 0]]))
    assert pauses == [0.1, 0.2]
    embedder.close()


def test_three_times_in_all(server, pauses):
    server.answers = [DESCRIBED, (503, {}, b"")]
    embedder = RemoteEmbedder(server.url, "m", sleep=pauses.append)
    with pytest.raises(DependencyUnavailable, match="503"):
        embedder.embed(images(1))
    assert len(server.requests) == 1 + 3
    embedder.close()


@pytest.mark.parametrize("status", [400, 404, 412, 413, 500])
def test_what_will_not_pass_is_not_tried_again(server, pauses, status):
    server.answers = [DESCRIBED, (status, {}, b"")]
    embedder = RemoteEmbedder(server.url, "m", sleep=pauses.append)
    with pytest.raises(DependencyUnavailable):
        embedder.embed(images(1))
    assert len(server.requests) == 1 + 1
    embedder.close()


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, np.zeros(2, "<f4").tobytes()),
        (200, {"Lookalike-Shape": "2,2"}, np.zeros(4, "<f4").tobytes()),
        (200, {"Lookalike-Shape": "1,2"}, b"\0" * 7),
        (200, {"Lookalike-Shape": "1,2"}, b""),
    ],
)
def test_answers_of_another_shape_are_refused(server, pauses, answer):
    server.answers = [DESCRIBED, answer]
    embedder = RemoteEmbedder(server.url, "m", sleep=pauses.append)
    with pytest.raises(DependencyUnavailable, match="shape"):
        embedder.embed(images(1))
    embedder.close()


def test_another_program_under_the_same_name_is_refused_before_anything_is_embedded(server, pauses):
    """A server of an older version may ignore If-Match, so what it says of itself is compared too."""
    server.answers = [DESCRIBED]
    with pytest.raises(DependencyUnavailable, match="with digest abc, not the one with digest def"):
        RemoteEmbedder(server.url, "m", digest="def", sleep=pauses.append)
    assert server.headers[0]["if-match"] == '"def"'
    server.answers = [(412, {}, b"")]
    with pytest.raises(DependencyUnavailable, match="another 'm' than the one with digest def"):
        RemoteEmbedder(server.url, "m", digest="def", sleep=pauses.append)


def test_a_batch_size_of_the_clients_own_is_what_it_asks_for_and_records(server, pauses):
    server.answers = [DESCRIBED]
    embedder = RemoteEmbedder(server.url, "m", digest="abc", batch_size=7, sleep=pauses.append)
    assert (embedder.batch_size, embedder.runtime.batch_size, embedder.runtime.precision) == (7, 7, "float32")
    embedder.close()


def test_an_unknown_model_is_not_found(server, pauses):
    server.answers = [(404, {}, b"")]
    with pytest.raises(ModelNotFound, match="other"):
        RemoteEmbedder(server.url, "other", sleep=pauses.append)


@pytest.mark.parametrize("answer", [(200, {}, b"<html>"), (200, {}, b"{}"), (302, {"Location": "/x"}, b"")])
def test_another_service_is_not_taken_for_an_embedder(server, pauses, answer):
    server.answers = [answer]
    with pytest.raises(DependencyUnavailable):
        RemoteEmbedder(server.url, "m", sleep=pauses.append)


def test_nobody_there(server, pauses):
    with pytest.raises(DependencyUnavailable, match="does not answer"):
        RemoteEmbedder("http://127.0.0.1:1", "m", sleep=pauses.append)
    assert len(pauses) == 2


@pytest.mark.parametrize("url", ["", "embedder", "embedder:8080", "ftp://embedder", "http://", "http://h:port"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(InvalidRequest, match="URL"):
        RemoteEmbedder(url, "m")
