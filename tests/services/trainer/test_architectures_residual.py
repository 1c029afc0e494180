"""The study's ResNet and small DenseNet."""

import math

import pytest
import torch
from torch import nn

from services.trainer.architectures import MiniDensenet, Resnet, build
from services.trainer.architectures.mini_densenet import BottleneckLayer
from services.trainer.architectures.resnet import xavier_uniform


@pytest.fixture(autouse=True)
def _few_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("pooling", "dimension"), [("avg", 512), ("gem", 512), ("flatten", 25_088)])
def test_resnet18_has_the_studys_dimensions_at_224(pooling, dimension):
    network = build(Resnet(pooling=pooling), 224).eval()
    assert network.dimension == dimension
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, dimension)


@pytest.mark.parametrize("input_size", [32, 33, 63, 64, 65, 100])
def test_the_flattened_dimension_follows_the_input_size(input_size):
    network = build(Resnet(pooling="flatten"), input_size).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, input_size, input_size)).shape == (1, network.dimension)


def test_resnet_parameters_are_those_of_the_paper_without_the_last_layer():
    # torchvision documents 11,689,512 and 25,557,032; its last layer has (512 or 2048) x 1000 + 1000.
    assert _num_parameters(build(Resnet(), 32)) == 11_689_512 - 513_000
    assert _num_parameters(build(Resnet(depth=50), 32)) == 25_557_032 - 2_049_000
    assert build(Resnet(depth=50), 32).dimension == 2048


def test_resnet_begins_xavier_uniform():
    torch.manual_seed(0)
    convolutions = [module for module in build(Resnet(), 32).modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 20  # 1 + 8 blocks of 2 + 3 shortcuts
    for convolution in convolutions:
        places = math.prod(convolution.kernel_size)
        bound = math.sqrt(6 / ((convolution.in_channels + convolution.out_channels) * places))
        # Of thousands of draws the largest comes near the bound, and the deviation is bound / sqrt(3).
        assert 0.99 * bound < convolution.weight.abs().max() <= bound
        assert convolution.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)


def test_xavier_covers_linear_layers_and_clears_biases():
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(300, 300), nn.Conv2d(2, 2, 1))
    xavier_uniform(head)
    assert 0.099 < head[0].weight.abs().max() <= 0.1  # sqrt(6 / 600)
    assert head[0].bias.abs().max() == 0
    assert head[1].bias.abs().max() == 0


def test_parameters_of_the_small_densenet_by_hand():
    # Stem 3*64*49 + 128; layers of 64 and 96 channels to 4*32 and from there to 32; batch norm; 128*7*7 to 1024.
    stem = 3 * 64 * 49 + 2 * 64
    layers = [2 * width + width * 128 + 2 * 128 + 128 * 32 * 9 for width in (64, 96)]
    head = 2 * 128 + 128 * 49 * 1024 + 1024
    network = build(MiniDensenet(), 224)
    assert _num_parameters(network) == stem + sum(layers) + head == 6_528_384
    with torch.inference_mode():
        assert network.eval()(torch.zeros(1, 3, 224, 224)).shape == (1, 1024)


def test_without_a_grid_the_whole_map_is_flattened():
    with torch.device("meta"):  # 1.6 GB
        network = build(MiniDensenet(grid=None), 224)
    assert network.head[-1].weight.shape == (1024, 128 * 56 * 56)


@pytest.mark.parametrize(("input_size", "map_side"), [(16, 4), (21, 6), (32, 8), (45, 12)])
@pytest.mark.parametrize("grid", [None, 3, 7])
def test_the_small_densenet_takes_any_input_size(input_size, map_side, grid):
    network = build(MiniDensenet(stem_width=4, growth_rate=2, grid=grid, dimension=6), input_size).eval()
    # A map that is smaller than the grid stays as it is.
    assert network.head[-1].in_features == (4 + 2 * 2) * min(map_side, grid or map_side) ** 2
    with torch.inference_mode():
        assert network(torch.randn(2, 3, input_size, input_size)).shape == (2, 6)


def test_a_bottleneck_layer_keeps_its_input_and_adds_to_it():
    layer = BottleneckLayer(6, 4)
    x = torch.randn(2, 6, 5, 5)
    found = layer(x)
    assert found.shape == (2, 10, 5, 5)
    assert torch.equal(found[:, :6], x)
    assert [tuple(module.weight.shape) for module in layer.layers if isinstance(module, nn.Conv2d)] == [
        (16, 6, 1, 1),
        (4, 16, 3, 3),
    ]
