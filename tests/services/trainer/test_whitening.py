"""PCA with fractional whitening: what it does to directions, and that the archive does the same."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lookalike.embedding.archive import write_archive
from lookalike.embedding.export import export_program
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.errors import InvalidRequest
from lookalike.types.models import ModelManifest, ResizePolicy
from services.trainer.whitening import Projection, fit_pca, with_projection

torch.set_num_threads(1)


def unit(embeddings: np.ndarray) -> np.ndarray:
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def drawn(num: int = 200, dimension: int = 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(num, dimension)) * np.geomspace(1, 0.1, dimension) + 0.5).astype(np.float32)


def test_a_hand_computed_case():
    # Unit vectors (±.6, .8, 0) and (0, .8, ±.6) have the mean (0, .8, 0). Three of each along x, one along z:
    # variances 6/8 * .36 = .27 and 2/8 * .36 = .09.
    x, z = [[0.6, 0.8, 0], [-0.6, 0.8, 0]], [[0, 0.8, 0.6], [0, 0.8, -0.6]]
    embeddings = 7 * np.array(x * 3 + z)  # the length does not count
    plain, white = fit_pca(embeddings, 2), fit_pca(embeddings, 2, whiten=1)
    assert plain.mean_D == pytest.approx([0, 0.8, 0], abs=1e-7)
    assert plain.matrix_DK == pytest.approx(np.array([[1, 0], [0, 0], [0, 1]]), abs=1e-6)
    assert white.matrix_DK == pytest.approx(np.array([[0.27**-0.5, 0], [0, 0], [0, 0.09**-0.5]]), abs=1e-6)
    half = fit_pca(embeddings, 2, whiten=0.5)
    assert half.matrix_DK[2, 1] == pytest.approx(0.09**-0.25, abs=1e-6)
    # (1, 1, 0): direction (.7071, .7071, 0), less the mean (.7071, -.0929, 0); only x is kept
    assert plain(np.array([[1.0, 1.0, 0.0]])) == pytest.approx(np.array([[1, 0]]), abs=1e-6)


@pytest.mark.parametrize("whiten", [0.0, 0.3, 1.0])
def test_components_are_uncorrelated_and_their_deviations_go_with_the_power(whiten):
    embeddings = drawn()
    plain, projection = fit_pca(embeddings, 6), fit_pca(embeddings, 6, whiten=whiten)
    components = (unit(embeddings) - projection.mean_D) @ projection.matrix_DK
    covariance = np.cov(components.T, bias=True)
    deviations = np.sqrt(np.diag(covariance))
    assert covariance - np.diag(np.diag(covariance)) == pytest.approx(np.zeros((6, 6)), abs=1e-6)
    raw = np.std((unit(embeddings) - plain.mean_D) @ plain.matrix_DK, axis=0)
    assert deviations == pytest.approx(raw ** (1 - whiten), rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 5), st.floats(0, 1))
def test_signs_do_not_depend_on_the_order_of_the_rows(seed, dimension, whiten):
    embeddings = drawn(60, 6, seed)
    projection = fit_pca(embeddings, dimension, whiten=whiten)
    largest = np.abs(projection.matrix_DK).argmax(axis=0)
    assert (projection.matrix_DK[largest, np.arange(dimension)] > 0).all()
    again = fit_pca(embeddings[::-1], dimension, whiten=whiten)
    assert (projection(embeddings) * again(embeddings)).sum(axis=1).min() > 0.9999


def test_directions_without_variance_are_not_blown_up():
    embeddings = drawn(50, 4)
    embeddings = np.concatenate([embeddings, embeddings[:, :2]], axis=1)  # rank 4 in 6 dimensions
    projection = fit_pca(embeddings, 6, whiten=1)
    assert np.isfinite(projection.matrix_DK).all()
    first = (unit(embeddings.astype(np.float64)) - projection.mean_D) @ projection.matrix_DK[:, 0]
    assert first.std() == pytest.approx(1, rel=1e-3)
    lengths = np.linalg.norm(projection.matrix_DK, axis=0)
    assert lengths.max() <= 1000.1 * lengths[0]
    assert np.isfinite(projection(embeddings)).all()


@pytest.mark.parametrize(("dimension", "whiten"), [(0, 0), (7, 0), (2, -0.1), (2, 1.5), (2, float("nan"))])
def test_what_cannot_be_is_refused(dimension, whiten):
    with pytest.raises(InvalidRequest):
        fit_pca(drawn(20, 6), dimension, whiten=whiten)
    with pytest.raises(InvalidRequest, match="3 embeddings of dimension 6"):
        fit_pca(drawn(3, 6), 3)


def test_collapsed_embeddings_are_named():
    with pytest.raises(InvalidRequest, match="alike"):
        fit_pca(np.ones((10, 4)), 2)


@pytest.mark.parametrize("half", [False, True])
def test_an_archive_embeds_as_numpy_does(tmp_path, half):
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 16, 5, stride=3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3), np.uint8)
    images = images.repeat(4, axis=1).repeat(4, axis=2)
    normalised = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    with torch.no_grad():
        raw = features(normalised).numpy()
    projection = fit_pca(raw, 12, whiten=0.5)
    program, dimension = export_program(
        with_projection(features, projection), 24, mean=(0.5,) * 3, std=(0.25,) * 3, half=half
    )
    assert dimension == 12
    manifest = ModelManifest(name="m", dimension=12, input_size=24, resize_policy=ResizePolicy.SQUASH, digest="")
    write_archive(tmp_path / "m.mar", program, manifest)
    embedder = TorchEmbedder(tmp_path / "m.mar", precision="float32", threads=1)
    embeddings = embedder.embed(images)
    embedder.close()
    centred = unit(raw.astype(np.float64)) - projection.mean_D  # written out again, apart from Projection
    assert (embeddings * unit(centred @ projection.matrix_DK)).sum(axis=1).min() >= 0.99999
    assert (embeddings * projection(raw)).sum(axis=1).min() >= 0.99999
    # and it is no trivial agreement: the images differ
    assert (embeddings @ embeddings.T).min() < 0.5


def test_a_projection_is_values_only():
    projection = Projection(np.zeros(2, np.float32), np.eye(2, dtype=np.float32))
    assert projection(np.array([[3.0, 4.0]])) == pytest.approx(np.array([[0.6, 0.8]]))
