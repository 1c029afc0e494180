"""Every architecture: configuration, dimension, the same weights for the same seed, and export."""

import io

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from lookalike.embedding.export import IMAGENET_MEAN, IMAGENET_STD, EmbeddingProgram, export_program
from services.trainer.architectures import (
    ArchitectureConfig,
    Autoencoder,
    Backbone,
    Compact,
    ConvAe,
    MiniDensenet,
    Pretrained,
    Resnet,
    VanillaAe,
    build,
)

_ADAPTER: TypeAdapter[ArchitectureConfig] = TypeAdapter(ArchitectureConfig)
# Name in the test's id, configuration, dimension at 32 x 32.
SMALL = {
    "vanilla_ae": (VanillaAe(hidden_widths=(16,), dimension=8), 8),
    "conv_ae": (ConvAe(widths=(8, 4)), 4 * 8 * 8),
    "conv_ae-avg": (ConvAe(widths=(8, 4), pooling="avg"), 4),
    "conv_ae-gem": (ConvAe(widths=(8, 4), pooling="gem"), 4),
    "mini_densenet": (MiniDensenet(stem_width=8, growth_rate=4), 1024),
    "mini_densenet-flat": (MiniDensenet(stem_width=8, growth_rate=4, grid=None, dimension=16), 16),
    "resnet-avg": (Resnet(), 512),
    "resnet-flatten": (Resnet(pooling="flatten"), 512),
    "resnet-gem": (Resnet(pooling="gem"), 512),
    "compact": (Compact(widths=(8, 16), depths=(1, 2)), 16),
    "compact-projected": (Compact(stem="conv", widths=(8, 16), depths=(1, 1), dimension=5), 5),
    "compact-gem": (Compact(widths=(8, 16), depths=(1, 1), dimension=5, pooling="gem"), 5),
    "pretrained": (Pretrained(model="squeezenet1_1"), 512),
    "pretrained-flatten": (Pretrained(model="squeezenet1_1", pooling="flatten"), 512),
    "pretrained-gem": (Pretrained(model="squeezenet1_1", pooling="gem"), 512),
}
_EVERY = pytest.mark.parametrize(("config", "dimension"), SMALL.values(), ids=SMALL)


@pytest.fixture(autouse=True)
def _few_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _network(config: ArchitectureConfig, seed: int = 0) -> Backbone | Autoencoder:
    torch.manual_seed(seed)
    return build(config, 32, with_weights=False)


@_EVERY
def test_embeddings_have_the_dimension_that_the_network_says(config, dimension):
    network = _network(config)
    assert network.training
    embedding = network.eval()(torch.randn(3, 3, 32, 32))
    assert embedding.shape == (3, dimension)
    assert network.dimension == dimension


@_EVERY
def test_the_seed_decides_the_weights(config, dimension):
    first, again, other = (_network(config, seed).state_dict() for seed in (1, 1, 2))
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@_EVERY
def test_the_exported_program_gives_the_modules_embeddings(config, dimension):
    network = _network(config)
    backbone = network.encoder if isinstance(network, Autoencoder) else network
    assert isinstance(backbone, Backbone)
    with torch.no_grad():
        for _ in range(2):  # batch norms that have seen images, and blocks that do not begin as their shortcuts
            backbone.train()(torch.randn(4, 3, 32, 32))
        for name, parameter in backbone.named_parameters():
            if name.endswith("norm2.weight"):
                parameter.fill_(0.5)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8))
    program, exported_dimension = export_program(backbone, 32)
    with torch.inference_mode():
        expected = EmbeddingProgram(backbone, IMAGENET_MEAN, IMAGENET_STD).eval()(images)
        found = torch.export.load(io.BytesIO(program)).module()(images)
    assert exported_dimension == dimension
    assert (found * expected).sum(1).min() >= 0.9999
    # Not because all images have the same embedding.
    assert not torch.allclose(expected[0], expected[1], atol=1e-4)


@_EVERY
def test_all_that_is_trained_gets_a_gradient(config, dimension):
    network = _network(config)
    x = torch.rand(4, 3, 32, 32)
    # A fixed projection, since the mean of an embedding after batch norms may have no gradient at all.
    made = network.reconstruct(x) if isinstance(network, Autoencoder) else network(x)
    (made * torch.randn_like(made)).sum().backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []


@_EVERY
def test_configurations_survive_json(config, dimension):
    assert _ADAPTER.validate_json(config.model_dump_json()) == config


def test_the_name_chooses_the_configuration():
    assert _ADAPTER.validate_python({"name": "resnet", "pooling": "flatten"}) == Resnet(pooling="flatten")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "resnet18"},
        {"pooling": "avg"},
        {"name": "resnet", "depth": 19},
        {"name": "resnet", "width": 3},
        {"name": "conv_ae", "widths": []},
        {"name": "vanilla_ae", "hidden_widths": [0]},
        {"name": "compact", "widths": [8, 16], "depths": [1]},
        {"name": "compact", "pooling": "flatten"},
        {"name": "mini_densenet", "num_layers": 0},
    ],
)
def test_wrong_configurations_are_refused(wrong):
    with pytest.raises(ValidationError):
        _ADAPTER.validate_python(wrong)


def test_configurations_are_frozen():
    with pytest.raises(ValidationError):
        Resnet().depth = 34
