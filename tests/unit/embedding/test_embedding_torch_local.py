"""The embedder in this process: settings, precision, and what it does with bad archives."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from lookalike.embedding.archive import write_archive
from lookalike.embedding.export import export_program
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.embedding.torchvision_import import torchvision_features
from lookalike.errors import InvalidArchive, InvalidRequest
from lookalike.types.models import ModelManifest, ResizePolicy


def random_images(num_images: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_images, size, size, 3), np.uint8)


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory):
    """With random weights, in which batch normalisation has seen images: without, all embeddings are alike."""
    torch.manual_seed(0)
    features = torchvision_features("resnet18").train()
    with torch.no_grad():
        for _ in range(8):
            features(torch.randn(8, 3, 64, 64))
    program, dimension = export_program(features, 64)
    path = tmp_path_factory.mktemp("resnet18") / "resnet18.mar"
    manifest = ModelManifest(
        name="resnet18", dimension=dimension, input_size=64, resize_policy=ResizePolicy.SQUASH, digest=""
    )
    write_archive(path, program, manifest)
    return path


def test_bfloat16_embeddings_are_those_of_float32_to_three_digits(resnet18):
    images = random_images(12, 64)
    fast = TorchEmbedder(resnet18, precision="bfloat16", threads=2)
    exact = TorchEmbedder(resnet18, precision="float32", threads=2)
    assert (fast.precision, exact.precision) == ("bfloat16", "float32")
    fast_ND, exact_ND = fast.embed(images), exact.embed(images)
    assert not np.array_equal(fast_ND, exact_ND)  # it did take the other path
    assert (fast_ND * exact_ND).sum(axis=1).min() >= 0.999
    assert fast_ND.dtype == np.float32
    assert np.linalg.norm(fast_ND, axis=1) == pytest.approx(1, abs=1e-6)
    fast.close()
    exact.close()


def test_the_model_is_the_one_that_was_exported(small_model):
    images = random_images(5, 32)
    embedder = TorchEmbedder(small_model.archive, precision="float32")
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 8, 3, stride=2)  # the fixture's first layer, drawn from the same seed
    scaled = (
        torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    ) / (torch.tensor([0.229, 0.224, 0.225])[:, None, None])
    with torch.no_grad():
        features = nn.AdaptiveAvgPool2d(2)(convolution(scaled).relu() / (1 + 1e-5) ** 0.5).flatten(1)
    expected = nn.functional.normalize(features).numpy()
    assert embedder.embed(images) == pytest.approx(expected, abs=1e-5)
    embedder.close()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 5, 16])
def test_rows_stay_in_order_however_a_batch_is_cut(small_model, threads, batch_size):
    images = random_images(13, 32)
    embedder = TorchEmbedder(small_model.archive, precision="float32", threads=threads, batch_size=batch_size)
    assert embedder.batch_size == batch_size
    one_by_one = np.concatenate([embedder.embed(images[row : row + 1]) for row in range(13)])
    assert embedder.embed(images) == pytest.approx(one_by_one, abs=1e-5)
    embedder.close()


def test_calls_from_several_threads_get_their_own_answers(small_model):
    images = random_images(40, 32)
    embedder = TorchEmbedder(small_model.archive, threads=2, batch_size=4)
    expected = [embedder.embed(images[start : start + 5]) for start in range(0, 40, 5)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            answers = list(pool.map(lambda start: embedder.embed(images[start : start + 5]), range(0, 40, 5)))
            assert all(np.array_equal(*pair) for pair in zip(answers, expected, strict=True))
    embedder.close()


def test_a_recipe_may_ask_for_float32(small_model, tmp_path):
    careful = small_model.manifest.model_copy(update={"recipe": {"precision": "float32"}})
    write_archive(tmp_path / "careful.mar", small_model.program, careful)
    embedder = TorchEmbedder(tmp_path / "careful.mar")
    assert embedder.precision == "float32"
    embedder.close()


def test_read_only_and_strided_images_are_taken(small_model):
    images = random_images(4, 32)
    embedder = TorchEmbedder(small_model.archive)
    expected = embedder.embed(images)
    read_only = np.frombuffer(images.tobytes(), np.uint8).reshape(images.shape)
    assert np.array_equal(embedder.embed(read_only), expected)
    flipped = np.ascontiguousarray(images[::-1])[::-1]
    assert np.array_equal(embedder.embed(flipped), expected)
    embedder.close()


@pytest.mark.parametrize(
    "settings", [{"threads": 0}, {"batch_size": 0}, {"precision": "float16"}, {"device": "tpu"}, {"batch_size": -3}]
)
def test_settings_that_make_no_sense_are_refused(small_model, settings):
    with pytest.raises(InvalidRequest):
        TorchEmbedder(small_model.archive, **settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what the test wants missing")
def test_cuda_where_there_is_none_is_refused(small_model):
    with pytest.raises(InvalidRequest, match="cuda"):
        TorchEmbedder(small_model.archive, device="cuda")


def test_a_manifest_with_another_dimension_than_the_program_is_noticed(small_model, tmp_path):
    write_archive(tmp_path / "a.mar", small_model.program, small_model.manifest.model_copy(update={"dimension": 7}))
    embedder = TorchEmbedder(tmp_path / "a.mar")
    with pytest.raises(InvalidArchive, match="dimension"):
        embedder.embed(random_images(1, 32))
    embedder.close()
