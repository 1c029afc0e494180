"""Weights stored as float16 and batch normalisation folded away: the same embeddings, and as fast."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from lookalike.embedding.archive import write_archive
from lookalike.embedding.export import MIN_HALVED, EmbeddingProgram, export_program
from lookalike.embedding.program import canonical_program
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.embedding.torchvision_import import torchvision_features
from lookalike.types.models import ModelManifest, ResizePolicy

SIZE = 32
HALF = torch.float16


class Net(nn.Module):
    """Batch normalisation after a convolution with and without bias, grouped, and where it cannot be folded."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.grouped = nn.Sequential(nn.Conv2d(16, 16, 3, 2, 1, groups=4), nn.BatchNorm2d(16))
        self.before = nn.BatchNorm2d(16)  # follows a sum
        self.twice = nn.Conv2d(16, 16, 3, padding=1)
        self.after_twice = nn.BatchNorm2d(16)  # its convolution is used with and without it
        self.head = nn.Linear(16 * 4, 24)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        stem = self.stem(x_NCHW)
        hidden = self.before(self.grouped(stem) + stem[:, :, ::2, ::2]).relu()
        twice = self.twice(hidden)
        hidden = self.after_twice(twice) + twice
        return self.head(nn.functional.adaptive_avg_pool2d(hidden, 2).flatten(1))


@pytest.fixture(scope="module")
def net():
    network = Net().train()
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight.uniform_(0.5, 2)
                norm.bias.normal_()
        for _ in range(10):
            network(torch.randn(16, 3, SIZE, SIZE) + 0.5)
    return network.eval()


@pytest.fixture(scope="module")
def images():
    coarse = np.random.default_rng(0).integers(0, 256, (12, 2, 2, 3), np.uint8)
    return coarse.repeat(SIZE // 2, axis=1).repeat(SIZE // 2, axis=2)


def load(program: bytes) -> torch.fx.GraphModule:
    return torch.export.load(io.BytesIO(program)).module(check_guards=False)


def targets(module: torch.fx.GraphModule) -> list[object]:
    return [node.target for node in module.graph.nodes if node.op == "call_function"]


def open_archive(tmp_path, program, dimension, precision="float32") -> TorchEmbedder:
    manifest = ModelManifest(
        name="m", dimension=dimension, input_size=SIZE, resize_policy=ResizePolicy.SQUASH, digest=""
    )
    write_archive(tmp_path / "m.mar", program, manifest)
    return TorchEmbedder(tmp_path / "m.mar", precision=precision, threads=1)


def expected(net, images) -> np.ndarray:
    with torch.no_grad():
        module = EmbeddingProgram(net, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)).eval()
        return module(torch.from_numpy(images)).numpy()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("fold", [False, True])
def test_embeddings_stay_what_they_were(net, images, half, fold):
    program, _ = export_program(net, SIZE, half=half, min_halved=1, fold_batch_norm=fold)
    module = load(program)
    before = expected(net, images)
    assert module(torch.from_numpy(images)).numpy() == pytest.approx(before, abs=2e-3 if half else 1e-6)
    assert np.abs(before - before[0]).max() > 0.1  # images are told apart, so that agreement says something
    num_norms = targets(module).count(torch.ops.aten.batch_norm.default)
    assert num_norms == (2 if fold else 4)  # two of four follow a convolution that nothing else reads
    halves = {tuple(tensor.shape) for tensor in module.parameters() if tensor.dtype == HALF}
    assert halves == ({(16, 3, 3, 3), (16, 4, 3, 3), (16, 16, 3, 3), (24, 64)} if half else set())


@pytest.mark.parametrize("num_images", [1, 2, 7])
def test_any_number_of_images_goes_through(net, images, num_images):
    program, dimension = export_program(net, SIZE, half=True, min_halved=1, fold_batch_norm=True)
    assert load(program)(torch.from_numpy(images[:num_images])).shape == (num_images, dimension)


def test_the_module_is_left_as_it_was(net, images):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    export_program(net, SIZE, half=True, min_halved=1, fold_batch_norm=True)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert all(tensor.dtype != HALF for tensor in net.state_dict().values())


def test_the_same_module_gives_the_same_bytes_and_they_are_canonical(net):
    first, _ = export_program(net, SIZE, half=True, min_halved=1, fold_batch_norm=True)
    assert export_program(net, SIZE, half=True, min_halved=1, fold_batch_norm=True)[0] == first
    assert canonical_program(first) == first


def test_loading_converts_weights_once(net, images, tmp_path):
    """Bit for bit what the program computes itself, with no conversion of a weight left in it."""
    program, dimension = export_program(net, SIZE, half=True, min_halved=1, fold_batch_norm=True)
    stored = load(program)
    assert targets(stored).count(torch.ops.aten.to.dtype) == 4 + 2  # the weights; the pixels and the result
    embedder = open_archive(tmp_path, program, dimension)
    opened = embedder._module
    conversions = [node for node in opened.graph.nodes if node.target is torch.ops.aten.to.dtype]
    assert len(conversions) == 2
    assert all(source.op != "get_attr" for node in conversions for source in node.all_input_nodes)
    assert not any(tensor.dtype == HALF for tensor in opened.parameters())
    for parameter in stored.parameters():  # the layout that the embedder gives weights decides how they are summed
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        unfolded = stored(torch.from_numpy(images)).numpy()
    assert embedder.embed(images) == pytest.approx(unfolded, abs=1e-6)
    embedder.close()


def test_bfloat16_casts_the_converted_weights_once(net, images, tmp_path):
    program, dimension = export_program(net, SIZE, half=True, min_halved=1, fold_batch_norm=True)
    embedder = open_archive(tmp_path, program, dimension, "bfloat16")
    weights = [tensor for tensor in embedder._module.parameters() if tensor.ndim > 1]
    assert len(weights) == 4
    assert all(tensor.dtype == torch.bfloat16 for tensor in weights)
    assert (embedder.embed(images) * expected(net, images)).sum(axis=1).min() >= 0.999
    embedder.close()


def test_a_weight_that_float16_cannot_hold_stays_float32(images):
    network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 8))
    with torch.no_grad():
        network[0].weight.mul_(1e-7)  # below float16's smallest
        network[3].weight.mul_(1e6)  # above its largest
    module = load(export_program(network, SIZE, half=True, min_halved=1)[0])
    assert not any(tensor.dtype == HALF for tensor in module.parameters())
    assert module(torch.from_numpy(images)).numpy() == pytest.approx(expected(network, images), abs=1e-6)


def test_small_weights_stay_float32_and_that_brings_deep_networks_nearer(images):
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()) for _ in range(12)]  # 2,304 numbers each
    network = nn.Sequential(nn.Conv2d(3, 16, 3), *layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 64))
    for layer in layers:
        nn.init.kaiming_normal_(layer[0].weight)
    network.eval()
    off = {}
    for min_halved in (1, MIN_HALVED):
        module = load(export_program(network, SIZE, half=True, min_halved=min_halved)[0])
        off[min_halved] = float(np.abs(module(torch.from_numpy(images)).numpy() - expected(network, images)).max())
    assert [tuple(tensor.shape) for tensor in module.parameters() if tensor.dtype == HALF] == [(64, 256)]
    assert off[MIN_HALVED] < off[1]


def test_an_archive_of_3_8_million_parameters_is_under_8_megabytes(tmp_path):
    """In as many layers as MobileNetV2 has: each takes 3 kB of the program's graph besides its weights."""
    torch.manual_seed(0)
    network = nn.Sequential(torchvision_features("mobilenet_v2"), nn.Linear(1280, 1230)).eval()
    assert 3_795_000 < sum(parameter.numel() for parameter in network.parameters()) < 3_805_000
    program, dimension = export_program(network, SIZE, half=True, fold_batch_norm=True)
    open_archive(tmp_path, program, dimension).close()
    assert (tmp_path / "m.mar").stat().st_size < 8_000_000


def test_a_weight_shared_by_two_layers_is_stored_once_and_not_folded_twice(images):
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.one, self.norm = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
            self.norm.running_var.copy_(torch.tensor([0.1, 1.0, 9.0]))

        def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
            return self.one(self.norm(self.one(x_NCHW))).mean(dim=3).flatten(1)

    network = Shared().eval()
    module = load(export_program(network, SIZE, half=True, min_halved=1, fold_batch_norm=True)[0])
    assert [tuple(tensor.shape) for tensor in module.parameters() if tensor.dtype == HALF] == [(3, 3, 3, 3)]
    cosines = (module(torch.from_numpy(images)).numpy() * expected(network, images)).sum(axis=1)
    assert cosines.min() >= 0.99999
