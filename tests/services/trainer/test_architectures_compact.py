"""The house model's network."""

import pytest
import torch
from torch import nn

from lookalike.errors import InvalidRequest
from services.trainer.architectures import Compact, build
from services.trainer.architectures.compact import BasicBlock

_SMALL = {"widths": (8, 16), "depths": (1, 2)}


@pytest.fixture(autouse=True)
def _few_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _block(before: int, width: int) -> int:
    shortcut = before * width + 2 * width if before != width else 0
    return before * width * 9 + width * width * 9 + 4 * width + shortcut


@pytest.mark.parametrize(
    ("config", "num_parameters"),
    [
        (Compact(), 4_945_568),
        (Compact(dimension=128), 4_986_656),
        (Compact(dimension=256), 5_027_744),
        (Compact(widths=(48, 96, 192, 256)), 3_826_720),
        (Compact(widths=(48, 96, 192, 256), dimension=256), 3_892_512),
    ],
)
def test_parameters_by_hand(config, num_parameters):
    stem = 3 * 48 * 16 + 2 * 48
    pairs = [(48, 48), *zip(config.widths, config.widths[1:], strict=False)]
    blocks = sum(_block(before, width) + _block(width, width) for before, width in pairs)
    last = config.widths[-1]
    projection = (last + 1) * config.dimension if config.dimension else 0
    assert _num_parameters(build(config, 128)) == stem + blocks + projection == num_parameters


def test_a_convolutional_stem_by_hand():
    stem = build(Compact(stem="conv"), 128).stem
    assert _num_parameters(stem) == 3 * 24 * 9 + 2 * 24 + 24 * 48 * 9 + 2 * 48


@pytest.mark.parametrize("stem", ["patch", "conv"])
@pytest.mark.parametrize(("input_size", "side"), [(128, 4), (160, 5), (176, 6)])
def test_the_map_has_a_thirty_second_of_the_side(stem, input_size, side):
    network = build(Compact(stem=stem, widths=(4, 6, 8, 10), depths=(1, 1, 1, 1), dimension=3), input_size).eval()
    x = torch.randn(2, 3, input_size, input_size)
    with torch.inference_mode():
        assert network.forward_map(x).shape == (2, 10, side, side)
        assert network.projected_map(x).shape == (2, 3, side, side)


@pytest.mark.parametrize("dimension", [None, 5])
def test_the_embedding_is_the_mean_of_the_projected_map(dimension):
    torch.manual_seed(0)
    network = build(Compact(**_SMALL, dimension=dimension), 32).eval()
    if dimension:
        nn.init.normal_(network.projection.bias)
    x = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        embeddings, projected = network(x), network(x, as_map=True)
        assert torch.equal(projected, network.projected_map(x))
        assert torch.equal(network.embed_map(network.forward_map(x)), embeddings)
    assert projected.min() < 0 or dimension is None
    assert torch.allclose(embeddings, projected.mean((2, 3)), atol=1e-5)


def test_gem_pools_the_map_before_the_projection_takes_it_below_zero():
    torch.manual_seed(0)
    network = build(Compact(**_SMALL, dimension=5, pooling="gem"), 32).eval()
    x = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        pooled = network.forward_map(x).pow(3).mean((2, 3)).pow(1 / 3)
        expected = pooled @ network.projection.weight.flatten(1).T
        assert torch.allclose(network(x), expected, atol=1e-4)
        assert expected.min() < 0


def test_blocks_begin_as_their_shortcuts():
    block = next(module for module in build(Compact(**_SMALL), 32).modules() if isinstance(module, BasicBlock))
    x = torch.rand(2, 8, 4, 4)
    with torch.inference_mode():
        assert torch.equal(block.eval()(x), x)
    other = build(Compact(**_SMALL, zero_init=False), 32)
    assert all(module.norm2.weight.min() == 1 for module in other.modules() if isinstance(module, BasicBlock))


def test_the_first_block_of_every_stage_but_the_first_halves_the_side():
    blocks = build(Compact(widths=(4, 4, 8), depths=(2, 2, 1)), 32).blocks
    assert [block.conv1.stride[0] for block in blocks] == [1, 1, 2, 1, 2]
    assert [isinstance(block.shortcut, nn.Identity) for block in blocks] == [True, True, False, True, False]


def test_convolutions_begin_with_he_et_als_deviation():
    torch.manual_seed(0)
    network = build(Compact(dimension=64), 128)
    wider = network.blocks[-2]  # from 192 channels to 320: by fan out
    assert wider.conv1.weight.std().item() == pytest.approx((2 / (320 * 9)) ** 0.5, rel=0.01)
    assert network.projection.weight.std().item() == pytest.approx(320**-0.5, rel=0.02)
    assert network.projection.bias.abs().max() == 0


def test_a_patch_stem_refuses_sides_that_it_would_cut_off():
    with pytest.raises(InvalidRequest, match="multiple of 4, not 130"):
        build(Compact(**_SMALL), 130)
    assert build(Compact(**_SMALL, stem="conv"), 130).dimension == 16
