"""The exported program: pixels in, directions out, for any number of images."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from lookalike.embedding.export import export_program


def run(program: bytes, images: np.ndarray) -> np.ndarray:
    return torch.export.load(io.BytesIO(program)).module()(torch.from_numpy(images)).numpy()


@pytest.fixture(scope="module")
def mean_colour() -> bytes:
    """The average of each normalised channel."""
    features = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    program, dimension = export_program(features, 4, mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.5))
    assert dimension == 3
    return program


def test_pixels_are_normalised_per_channel_and_embeddings_have_length_one(mean_colour):
    image = np.full((1, 4, 4, 3), (255, 0, 0), np.uint8)
    # (255/255 - .5) / .5 = 1,   (0 - .5) / .25 = -2,   (0 - .5) / .5 = -1;   length sqrt(6)
    assert run(mean_colour, image)[0] == pytest.approx(np.array([1, -2, -1]) / np.sqrt(6), abs=1e-6)


@pytest.mark.parametrize("num_images", [1, 2, 3, 300])
def test_any_number_of_images_goes_through(mean_colour, num_images):
    images = np.random.default_rng(0).integers(0, 256, (num_images, 4, 4, 3), np.uint8)
    embeddings = run(mean_colour, images)
    assert embeddings.shape == (num_images, 3)
    assert embeddings.dtype == np.float32
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-6)
    assert embeddings[-1] == pytest.approx(run(mean_colour, images[-1:])[0], abs=1e-6)


def test_features_that_are_all_zero_become_the_diagonal():
    class Nothing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=(2, 3)).clamp_max(0)  # zero for white images, negative for black ones

    program, _ = export_program(Nothing(), 4, mean=(0.5,) * 3, std=(0.5,) * 3)
    white, black = np.full((4, 4, 3), 255, np.uint8), np.zeros((4, 4, 3), np.uint8)
    embeddings = run(program, np.stack([white, black]))
    assert embeddings == pytest.approx(np.array([[1, 1, 1], [-1, -1, -1]]) / np.sqrt(3), abs=1e-6)


def test_the_same_module_gives_the_same_bytes():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    assert export_program(module, 8) == export_program(module, 8)
