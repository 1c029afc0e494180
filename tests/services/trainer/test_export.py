"""A trained network becomes an archive that embeds as it does, or none at all."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from lookalike.embedding.archive import read_batching, read_manifest
from lookalike.embedding.batching import Batching
from lookalike.embedding.precision import METRIC, smooth_images
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.errors import InvalidArchive, InvalidRequest
from lookalike.types.models import ResizePolicy
from services.trainer.export import FLOAT32_COSINE, Trained, export_run, export_trained, own_embeddings
from services.trainer.whitening import fit_pca

torch.set_num_threads(1)
SIZE = 32


class Net(nn.Module):
    """With batch normalisation that has seen images."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(128, 24)
        for _ in range(5):
            self.train()(torch.randn(16, 3, SIZE, SIZE))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(self.layers(x_NCHW))
        return result


class ModeDependent(Net):
    """A network whose trace is not its function: the export takes the branch of its example."""

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_exporting():
            x_NCHW = x_NCHW.flip(1)
        return super().forward(x_NCHW)


class Cancelling(nn.Module):
    """What is left of nearly equal sums: exact enough in float32, mostly rounding in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.sums = nn.Linear(48, 8, bias=False)
        with torch.no_grad():
            self.sums.weight.copy_(1 + 0.01 * torch.randn(8, 48, generator=torch.Generator().manual_seed(0)))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        sums_ND = self.sums(nn.functional.adaptive_avg_pool2d(x_NCHW, 4).flatten(1)).float()
        return sums_ND - sums_ND.mean(dim=1, keepdim=True)


def trained(network: nn.Module, **changes: object) -> Trained:
    values = {
        "network": network,
        "input_size": SIZE,
        "resize_policy": ResizePolicy.LETTERBOX,
        "name": "toy",
        "mean": (0.4, 0.5, 0.6),
        "std": (0.2, 0.25, 0.3),
        "recipe": {"seed": 3},
        "training_data": "squares",
        "metrics": {"precision_at_4": 0.5},
        "licence": "MIT",
    }
    return Trained(**{**values, **changes})


def embed(archive, images):
    embedder = TorchEmbedder(archive, precision="float32", threads=1)
    embeddings = embedder.embed(images)
    embedder.close()
    return embeddings


@pytest.mark.parametrize("half", [False, True])
def test_the_archive_embeds_as_the_network(tmp_path, half):
    network = Net().eval()
    manifest = export_trained(trained(network), tmp_path / "toy.mar", half=half)
    assert read_manifest(tmp_path / "toy.mar") == manifest
    assert manifest.metrics["precision_at_4"] == 0.5
    assert 0.9999 <= manifest.metrics[FLOAT32_COSINE] <= 1.000001
    assert manifest.metrics[METRIC] >= 0.999
    assert manifest.recipe["seed"] == 3
    assert manifest.recipe["weights_stored_as"] == ("float16" if half else "float32")
    images = np.random.default_rng(1).integers(0, 256, (9, SIZE, SIZE, 3), np.uint8)
    scaled = (images / 255 - np.array([0.4, 0.5, 0.6])) / np.array([0.2, 0.25, 0.3])
    with torch.no_grad():
        expected = nn.functional.normalize(network(torch.from_numpy(scaled).float().permute(0, 3, 1, 2))).numpy()
    assert (embed(tmp_path / "toy.mar", images) * expected).sum(axis=1).min() >= 0.9999


def test_half_weights_take_half_the_bytes(tmp_path):
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.wide = nn.Linear(3 * SIZE * SIZE, 64)  # 196,608 weights

        def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.wide(x_NCHW.flatten(1))
            return result

    sizes = []
    for half in (False, True):
        export_trained(trained(Wide()), tmp_path / "m.mar", half=half)
        sizes.append((tmp_path / "m.mar").stat().st_size)
    assert sizes[0] - sizes[1] == pytest.approx(2 * 196_608, abs=4096)


@pytest.mark.parametrize("batching", [None, Batching(requests=8, delay_ms=3)])
def test_the_archive_says_how_requests_are_merged(tmp_path, batching):
    export_trained(trained(Net().eval(), batching=batching), tmp_path / "toy.mar")
    assert read_batching(tmp_path / "toy.mar") == batching


def test_the_network_is_left_as_it_was(tmp_path):
    network = Net().train()
    before = copy.deepcopy(network.state_dict())
    export_trained(trained(network), tmp_path / "toy.mar")
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_the_same_run_gives_the_same_bytes(tmp_path):
    for name in ("a.mar", "b.mar"):
        export_run(tmp_path / "run", tmp_path / name, build=lambda run: trained(Net(), name=run.name))
    assert (tmp_path / "a.mar").read_bytes() == (tmp_path / "b.mar").read_bytes()
    assert read_manifest(tmp_path / "a.mar").name == "run"


def test_an_export_that_is_not_the_network_leaves_nothing(tmp_path):
    with pytest.raises(InvalidArchive, match=r"lowest of 8 cosines is -?0\.\d+, below 0\.9999"):
        export_trained(trained(ModeDependent()), tmp_path / "toy.mar")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_torch_cannot_export_is_named(tmp_path):
    class Branching(Net):
        def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
            return super().forward(x_NCHW if x_NCHW.sum() > 0 else -x_NCHW)

    with pytest.raises(InvalidArchive, match="toy cannot be exported"):
        export_trained(trained(Branching()), tmp_path / "toy.mar")
    assert list(tmp_path.iterdir()) == []


def test_a_target_in_no_folder_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="no folder"):
        export_trained(trained(Net()), tmp_path / "missing" / "toy.mar")


def test_a_failed_export_keeps_the_archive_that_was_there(tmp_path):
    (tmp_path / "toy.mar").write_bytes(b"older")
    with pytest.raises(InvalidArchive):
        export_trained(trained(ModeDependent()), tmp_path / "toy.mar")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("toy.mar", b"older")]


def test_a_network_that_returns_nan_is_no_model(tmp_path):
    network = Net()
    with torch.no_grad():
        network.head.bias.fill_(float("nan"))
    with pytest.raises(InvalidArchive):
        export_trained(trained(network), tmp_path / "toy.mar")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_only_bfloat16_spoils_is_marked(tmp_path):
    manifest = export_trained(trained(Cancelling(), mean=(0, 0, 0), std=(1, 1, 1)), tmp_path / "toy.mar", half=False)
    assert manifest.metrics[FLOAT32_COSINE] >= 0.9999
    assert manifest.metrics[METRIC] < 0.9999
    assert manifest.recipe["precision"] == "float32"
    embedder = TorchEmbedder(tmp_path / "toy.mar")
    assert embedder.precision == "float32"
    embedder.close()


def test_a_projection_is_baked_in(tmp_path):
    model = trained(Net())
    images = np.random.default_rng(0).integers(0, 256, (40, SIZE, SIZE, 3), np.uint8)
    projection = fit_pca(own_embeddings(model, images), 8, whiten=0.5)
    manifest = export_trained(model, tmp_path / "toy.mar", projection=projection, images_NHWC=images)
    assert manifest.dimension == 8
    assert manifest.recipe["projected_from_dimension"] == 24
    cosines = (embed(tmp_path / "toy.mar", images) * projection(own_embeddings(model, images))).sum(axis=1)
    assert cosines.min() >= 0.9999
    assert manifest.metrics[FLOAT32_COSINE] == pytest.approx(cosines.min(), abs=1e-5)


def test_verification_uses_the_images_given(tmp_path):
    """Images on which the export goes wrong are caught, though the drawn ones would pass."""

    class DarkOnly(Net):
        def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
            wrong = x_NCHW.flip(1) if torch.compiler.is_exporting() else x_NCHW
            is_dark = (x_NCHW.mean(dim=(1, 2, 3), keepdim=True) < -1.5).float()
            return super().forward(is_dark * wrong + (1 - is_dark) * x_NCHW)

    export_trained(trained(DarkOnly()), tmp_path / "toy.mar")
    dark = smooth_images(SIZE) // 8
    with pytest.raises(InvalidArchive):
        export_trained(trained(DarkOnly()), tmp_path / "other.mar", images_NHWC=dark)
