"""What an archive's program computes on its way is what the network computes there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lookalike.embedding.archive import write_archive
from lookalike.embedding.export import export_program
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.errors import InvalidRequest
from lookalike.types.models import ModelManifest, ResizePolicy


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU6(inplace=True), nn.Conv2d(8, 4, 1))
    return nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def embedder(network: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchEmbedder]:
    path: Path = tmp_path_factory.mktemp("taps") / "small.mar"
    program, dimension = export_program(network, 16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    manifest = ModelManifest(
        name="small", dimension=dimension, input_size=16, resize_policy=ResizePolicy.SQUASH, digest=""
    )
    write_archive(path, program, manifest)
    made = TorchEmbedder(path, precision="float32", device="cpu")
    yield made
    made.close()


@pytest.fixture
def images_NHWC() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8))


def test_steps_have_the_values_of_the_network_s_layers(
    embedder: TorchEmbedder, network: nn.Sequential, images_NHWC: torch.Tensor
) -> None:
    after_relu, after_last = embedder.taps(["hardtanh_", "conv2d_1"])(images_NHWC)
    with torch.no_grad():
        expected = network[:3](images_NHWC.permute(0, 3, 1, 2) / 127.5 - 1)
        torch.testing.assert_close(after_relu, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(after_last, network[3](expected), atol=1e-5, rtol=1e-5)


def test_they_come_in_the_order_of_the_names_and_without_gradients(
    embedder: TorchEmbedder, images_NHWC: torch.Tensor
) -> None:
    values = embedder.taps(["conv2d_1", "hardtanh_"])(images_NHWC)
    assert [value.shape[1] for value in values] == [4, 8]
    assert not any(value.requires_grad for value in values)


def test_tapping_leaves_the_embedder_as_it_was(embedder: TorchEmbedder, images_NHWC: torch.Tensor) -> None:
    before = embedder.embed(images_NHWC.numpy())
    embedder.taps(["hardtanh_"])(images_NHWC)
    np.testing.assert_array_equal(embedder.embed(images_NHWC.numpy()), before)


@pytest.mark.parametrize("names", [["conv2d_9"], []])
def test_a_step_that_there_is_not_is_named_with_those_that_there_are(embedder: TorchEmbedder, names: list[str]) -> None:
    with pytest.raises(InvalidRequest, match=r"has no step .*conv2d, batch_norm, hardtanh_"):
        embedder.taps(names)
